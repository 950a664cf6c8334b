//! The gRPC contracts of `proto/`, as Rust: messages, a table of the methods, descriptors for reflection. Nothing of the
//! house stands below it.

#![forbid(unsafe_code)]

/// A method of a contract. All are unary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `/{package}.{Service}/{Method}`: its address.
    pub path: &'static str,
    /// The full name of the message it takes.
    pub request: &'static str,
    /// The full name of the message it answers.
    pub response: &'static str,
}

impl Method {
    /// The method at an address.
    pub fn at(path: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.path == path)
    }
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// The contracts and what they import, as an encoded `google.protobuf.FileDescriptorSet` with the comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The names of the services, `{package}.{Service}`.
pub fn services() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    METHODS.iter().filter_map(move |method| {
        let name = method.path.trim_start_matches('/').split('/').next()?;
        (name != std::mem::replace(&mut last, name)).then_some(name)
    })
}

/// `platform.iam.v1`
pub mod iam {
    #[allow(missing_docs, reason = "generated: the words stand in proto/, and not at every field")]
    #[allow(clippy::all, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/platform.iam.v1.rs"));
    }
}

/// `platform.events.v1`
pub mod events {
    #[allow(missing_docs, reason = "generated: the words stand in proto/, and not at every field")]
    #[allow(clippy::all, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/platform.events.v1.rs"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_methods() {
        let method = Method::at("/platform.iam.v1.IamService/GetUser").unwrap();
        assert_eq!(
            (method.request, method.response),
            ("platform.iam.v1.GetUserRequest", "platform.iam.v1.User")
        );
        assert_eq!(
            services().collect::<Vec<_>>(),
            ["platform.events.v1.EventsService", "platform.iam.v1.IamService"]
        );
    }
}
