use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use kernel::{Ctx, Error, Result, Slug};

use super::{Gate, LinkOptions, LinkState, LinkStats};

/// A link to a service that keeps the contract `P`: what the handles made by [`contract!`](crate::contract) stand on.
/// Clones share queue and target.
///
/// # Who owns the service
/// A link made with its target ([`ContractLink::new`]) owns it. A link that is bound later does **not**: services are
/// made before they are wired and may call each other, so whoever wires them (the cell) owns them all, and dropping
/// the cell drops every service. A running call keeps its service until it has ended; calls after that get `draining`.
pub struct ContractLink<P: ?Sized> {
    gate: Gate,
    target: Arc<OnceLock<Target<P>>>,
}

enum Target<P: ?Sized> {
    Owned(Arc<P>),
    Bound(Weak<P>),
}

impl<P: ?Sized> ContractLink<P> {
    /// A link to `target`, which it owns. `operations` are the names of the contract's methods.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        options: LinkOptions,
        operations: &'static [&'static str],
        target: Arc<P>,
    ) -> Self {
        let gate = Gate::new(name.into(), options, operations);
        Self { gate, target: Arc::new(OnceLock::from(Target::Owned(target))) }
    }

    /// A link to a service that does not exist yet. Calls get `dependency-unavailable` until it is bound.
    pub fn unbound(
        name: impl Into<Cow<'static, str>>,
        options: LinkOptions,
        operations: &'static [&'static str],
    ) -> Self {
        Self { gate: Gate::new(name.into(), options, operations), target: Arc::default() }
    }

    /// Says where calls of this link and all its clones go, once. The caller keeps the service alive.
    ///
    /// # Errors
    /// `internal` when the link has a target already; that one stays.
    pub fn bind(&self, target: &Arc<P>) -> Result<()> {
        self.target.set(Target::Bound(Arc::downgrade(target))).map_err(|_| {
            Error::internal(format!("{:?} was bound a second time; wire each link once", self.gate))
        })
    }

    /// Asks the service, when its turn has come and no longer than the deadline of `cx`. `operation` is the index of
    /// the method in the names given at creation.
    ///
    /// # Errors
    /// `overloaded` at once when the queue is full, `deadline-exceeded`, `internal` after a panic,
    /// `dependency-unavailable` before the link is bound, `draining` when the service or the link was closed, and
    /// every error of the service itself.
    pub async fn call<T, F>(&self, cx: &Ctx, operation: usize, ask: impl FnOnce(Arc<P>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let work = |place| async move {
            let _place = place;
            ask(self.target()?).await
        };
        self.gate.pass(cx, operation, work, |_| false).await
    }

    fn target(&self) -> Result<Arc<P>> {
        match self.target.get() {
            Some(Target::Owned(target)) => Ok(Arc::clone(target)),
            Some(Target::Bound(target)) => target.upgrade().ok_or_else(|| {
                let why = format!("{:?}: its service was dropped", self.gate);
                Error::new(Slug::Draining, "This part is being closed; try again in a moment.").because(why)
            }),
            None => {
                let why = format!(
                    "{:?} was called before it was bound; bind every link before starting",
                    self.gate
                );
                Err(Error::new(Slug::DependencyUnavailable, "A needed part has not started yet.")
                    .because(why))
            }
        }
    }

    /// How the link is doing.
    pub fn stats(&self) -> LinkStats {
        let mut stats = self.gate.stats();
        let there = self.target.get().is_some_and(|target| match target {
            Target::Owned(_) => true,
            Target::Bound(service) => service.strong_count() > 0,
        });
        if !there && stats.state != LinkState::Closed {
            stats.state = LinkState::Unbound;
        }
        stats
    }

    /// Takes no more calls: new and waiting ones get `draining`, running ones go on.
    pub fn close(&self) {
        self.gate.close();
    }
}

impl<P: ?Sized> Clone for ContractLink<P> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), target: Arc::clone(&self.target) }
    }
}

impl<P: ?Sized> fmt::Debug for ContractLink<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContractLink").field(&self.gate).finish()
    }
}

/// Where `name` stands in `names`; worked out by the compiler.
#[doc(hidden)]
pub const fn position(names: &[&str], name: &str) -> usize {
    let mut at = 0;
    while at < names.len() {
        let (one, other) = (names[at].as_bytes(), name.as_bytes());
        let mut i = 0;
        while i < one.len() && i < other.len() && one[i] == other[i] {
            i += 1;
        }
        if i == one.len() && i == other.len() {
            return at;
        }
        at += 1;
    }
    at
}

/// Writes a contract: the trait that a service keeps, and the handle through which others ask it.
///
/// ```
/// use ports::{contract, link::LinkOptions};
/// use kernel::{Ctx, Result};
/// use std::sync::Arc;
///
/// contract! {
///     /// What others ask the greeter.
///     pub trait Greeter via GreeterLink {
///         /// A greeting for `name`.
///         async fn greet(name: String) -> String;
///     }
/// }
///
/// struct Polite;
///
/// #[async_trait::async_trait]
/// impl Greeter for Polite {
///     async fn greet(&self, _: &Ctx, name: String) -> Result<String> {
///         Ok(format!("Good day, {name}."))
///     }
/// }
///
/// let link = GreeterLink::new("greeter", LinkOptions::default(), Arc::new(Polite));
/// # let sandbox = "default".parse::<kernel::SandboxName>().unwrap();
/// # let cx = Ctx::build(sandbox, kernel::Clock::real()).finish();
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// assert_eq!(link.greet(&cx, "Ada".into()).await?, "Good day, Ada.");
/// # Ok::<(), kernel::Error>(()) }).unwrap();
/// ```
///
/// Every method gets `&self` and `cx: &Ctx` in front and answers a `kernel::Result`. The handle has the same methods
/// (and keeps the contract itself, where a `dyn` is wanted), and beside them `new`, `unbound`, `bind`, `stats` and
/// `close` of [`ContractLink`](crate::link::ContractLink). A call goes as a future, not as a message: nothing is
/// boxed but what `async_trait` boxes in the service.
#[macro_export]
macro_rules! contract {
    (
        $(#[$about:meta])*
        pub trait $Contract:ident via $Link:ident {
            $(
                $(#[$operation_about:meta])*
                async fn $operation:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;
            )+
        }
    ) => {
        $(#[$about])*
        #[$crate::link::build::async_trait]
        pub trait $Contract: Send + Sync + 'static {
            $(
                $(#[$operation_about])*
                async fn $operation(
                    &self,
                    cx: &$crate::link::build::Ctx,
                    $($argument: $type,)*
                ) -> $crate::link::build::Result<$answer>;
            )+
        }

        #[doc = concat!("The way to whoever keeps [`", stringify!($Contract), "`]: asks over a bounded link.")]
        #[derive(Clone, Debug)]
        pub struct $Link($crate::link::ContractLink<dyn $Contract>);

        #[allow(dead_code, reason = "not every user of a contract uses all that its handle offers")]
        impl $Link {
            /// The methods of the contract, as statistics name them.
            pub const OPERATIONS: &'static [&'static str] = &[$(stringify!($operation)),+];

            /// A link to `target`, which it owns.
            pub fn new(
                name: impl Into<$crate::link::build::Cow<'static, str>>,
                options: $crate::link::LinkOptions,
                target: $crate::link::build::Arc<dyn $Contract>,
            ) -> Self {
                Self($crate::link::ContractLink::new(name, options, Self::OPERATIONS, target))
            }

            /// A link to a service that does not exist yet; calls get `dependency-unavailable` until it is bound.
            pub fn unbound(
                name: impl Into<$crate::link::build::Cow<'static, str>>,
                options: $crate::link::LinkOptions,
            ) -> Self {
                Self($crate::link::ContractLink::unbound(name, options, Self::OPERATIONS))
            }

            /// Says where calls go, once. The link does not keep `target` alive; whoever wires the services does.
            ///
            /// # Errors
            /// `internal` when the link has a target already.
            pub fn bind(
                &self,
                target: &$crate::link::build::Arc<dyn $Contract>,
            ) -> $crate::link::build::Result<()> {
                self.0.bind(target)
            }

            /// How the link is doing.
            pub fn stats(&self) -> $crate::link::LinkStats {
                self.0.stats()
            }

            /// Takes no more calls: new and waiting ones get `draining`, running ones go on.
            pub fn close(&self) {
                self.0.close();
            }

            $(
                $(#[$operation_about])*
                #[allow(clippy::too_many_arguments, reason = "an operation has as many as its contract names")]
                pub async fn $operation(
                    &self,
                    cx: &$crate::link::build::Ctx,
                    $($argument: $type,)*
                ) -> $crate::link::build::Result<$answer> {
                    const OPERATION: usize =
                        $crate::link::build::position($Link::OPERATIONS, stringify!($operation));
                    let ask = |target: $crate::link::build::Arc<dyn $Contract>| async move {
                        target.$operation(cx, $($argument),*).await
                    };
                    self.0.call(cx, OPERATION, ask).await
                }
            )+
        }

        #[$crate::link::build::async_trait]
        impl $Contract for $Link {
            $(
                async fn $operation(
                    &self,
                    cx: &$crate::link::build::Ctx,
                    $($argument: $type,)*
                ) -> $crate::link::build::Result<$answer> {
                    $Link::$operation(self, cx, $($argument),*).await
                }
            )+
        }
    };
}
