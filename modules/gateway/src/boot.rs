use std::fmt;

/// Why a gateway can't be made: every mistake of the operation table, each a sentence that names the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootError(Vec<String>);

impl BootError {
    pub(crate) fn new(mistakes: Vec<String>) -> Self {
        Self(mistakes)
    }

    /// The mistakes, one sentence each.
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operation table can't be served:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for BootError {}
