use inventory::collect;

/// One SQL statement of the program, and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Source file.
    pub file: &'static str,
    /// Line in it.
    pub line: u32,
    /// The statement.
    pub text: &'static str,
}

collect!(Statement);

/// Every statement of the program, so that a test can prepare each one on the migrated schema.
pub struct Statements;

/// See [`Statements`].
pub static STATEMENTS: Statements = Statements;

impl Statements {
    /// One after the other, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &'static Statement> {
        inventory::iter::<Statement>.into_iter()
    }
}

/// A statement in the source. It must be a literal; it is registered, so that a test prepares it on the real schema.
///
/// For a tenant's handle the first parameter `$1` is the tenant's id and is bound by the handle: the statement says
/// `kernel.owns($1, tenant_id)`, and its own values start at `$2`. For the system's handle they start at `$1`.
#[macro_export]
macro_rules! sql {
    ($text:literal) => {{
        $crate::postgres::inventory::submit! {
            $crate::postgres::Statement { file: file!(), line: line!(), text: $text }
        }
        $text
    }};
}
