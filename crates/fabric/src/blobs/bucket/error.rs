use std::error::Error as StdError;

use super::Bucket;

/// Why a bucket can't be used, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The options make no sense together.
    #[error("the S3 store can't be reached: {0}; check S3_ENDPOINT, S3_BUCKET and S3_REGION")]
    Options(String),
    /// The file of authorities.
    #[error(
        "S3_CA_FILE {file} can't be read: {why}; name a PEM file with the certificates of the store's authorities"
    )]
    Authorities {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers, or not as a store does.
    #[error(
        "the S3 store at {endpoint} can't be reached: {why}; check S3_ENDPOINT, that the store runs, and the firewall"
    )]
    Unreachable {
        /// The store.
        endpoint: String,
        /// What went wrong.
        why: String,
    },
    /// The certificate does not prove who answers.
    #[error(
        "the S3 store at {endpoint} has a certificate that is not trusted: {why}; name the file of its authority as \
         S3_CA_FILE, or use the name that stands in the certificate in S3_ENDPOINT"
    )]
    Untrusted {
        /// The store.
        endpoint: String,
        /// What went wrong.
        why: String,
    },
    /// There is no such bucket.
    #[error("there is no bucket {bucket} at {endpoint}: make it, or set S3_BUCKET to the one that is meant")]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The store.
        endpoint: String,
    },
    /// The store does not know the key, or it does not fit.
    #[error(
        "the S3 store at {endpoint} does not accept the key ({code}): set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY to a \
         key of this store"
    )]
    WrongKey {
        /// The store.
        endpoint: String,
        /// What it says.
        code: String,
    },
    /// The key has no right to something.
    #[error(
        "the key in S3_ACCESS_KEY_ID may not {verb} in the bucket {bucket} at {endpoint}: it needs s3:ListBucket, \
         s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload there"
    )]
    MayNot {
        /// list, write, read or delete.
        verb: &'static str,
        /// The bucket.
        bucket: String,
        /// The store.
        endpoint: String,
    },
    /// The bucket is in another region.
    #[error(
        "the bucket {bucket} is not in the region that is set{expected}: set S3_REGION to the bucket's own"
    )]
    WrongRegion {
        /// The bucket.
        bucket: String,
        /// The region it is in, as a clause.
        expected: String,
    },
    /// The clocks are too far apart for signatures.
    #[error(
        "the clock of this machine is too far from that of the S3 store at {endpoint}, which refuses every request: \
         synchronise it"
    )]
    Clock {
        /// The store.
        endpoint: String,
    },
    /// What was written did not come back.
    #[error("the S3 store at {endpoint} does not give back what was written: {told}")]
    Unsound {
        /// The store.
        endpoint: String,
        /// What happened.
        told: &'static str,
    },
    /// It said something else.
    #[error("the S3 store at {endpoint} did not {verb}: {why}")]
    Other {
        /// The store.
        endpoint: String,
        /// list, write, read or delete.
        verb: &'static str,
        /// What it said.
        why: String,
    },
}

impl BucketError {
    /// What an error means that came while something was tried.
    pub(super) fn of(bucket: &Bucket, verb: &'static str, error: &object_store::Error) -> Self {
        let text = with_causes(error);
        let (name, endpoint) = (bucket.name.clone(), bucket.endpoint.clone());
        let code = element(&text, "Code").unwrap_or_default();
        match code {
            "NoSuchBucket" => Self::NoBucket { bucket: name, endpoint },
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => {
                Self::WrongKey { endpoint, code: code.to_owned() }
            }
            "RequestTimeTooSkewed" => Self::Clock { endpoint },
            "AccessDenied" | "AllAccessDisabled" => Self::MayNot { verb, bucket: name, endpoint },
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
                let expected = element(&text, "Region")
                    .map(|region| format!(" (it is in {region})"))
                    .unwrap_or_default();
                Self::WrongRegion { bucket: name, expected }
            }
            _ if text.contains("incorrectly configured region") || text.contains("301 Moved") => {
                Self::WrongRegion { bucket: name, expected: String::new() }
            }
            _ if matches!(error, object_store::Error::PermissionDenied { .. }) => {
                Self::MayNot { verb, bucket: name, endpoint }
            }
            _ => Self::Other { endpoint, verb, why: text },
        }
    }
}

/// An error with its causes, without what is repeated.
pub(super) fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

/// The text of an element of the store's answer (S3 API, error responses), which is flat.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_found_in_an_answer() {
        let told = "status code: 403: <Error><Code>AccessDenied</Code><Region>eu-west-1</Region></Error>";
        assert_eq!(element(told, "Code"), Some("AccessDenied"));
        assert_eq!(element(told, "Region"), Some("eu-west-1"));
        assert_eq!(element(told, "Host"), None);
    }
}
