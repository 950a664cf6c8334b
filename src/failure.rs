//! How a verb ends that did not do what was asked.

use std::fmt;
use std::process::ExitCode;

/// A sentence for the person at the terminal, and the exit code for the program behind it: 1 it did not work, 2 it was
/// not asked well.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    told: Option<String>,
    code: u8,
}

impl Failure {
    /// It did not work. The sentence says what happened and what to do.
    pub fn new(told: impl fmt::Display) -> Self {
        Self { told: Some(told.to_string()), code: 1 }
    }

    /// It was not asked well.
    pub fn usage(told: impl fmt::Display) -> Self {
        Self { told: Some(told.to_string()), code: 2 }
    }

    /// All was said already; only the exit code is left.
    pub fn told(code: u8) -> Self {
        Self { told: None, code }
    }

    /// Says it on stderr and gives the exit code.
    pub fn tell(self) -> ExitCode {
        if let Some(told) = self.told {
            eprintln!("platform-kernel: {}", told.trim_end());
        }
        ExitCode::from(self.code)
    }

    /// The sentence, for those who say it in another way.
    pub fn into_sentence(self) -> String {
        self.told.unwrap_or_default()
    }

    /// The sentence.
    #[cfg(test)]
    pub fn sentence(&self) -> &str {
        self.told.as_deref().unwrap_or_default()
    }
}
