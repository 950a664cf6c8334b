//! What a killed process left half done is cleared away, or done again, by the next one.

use std::sync::Arc;

use crate::{
    control::{Control, SandboxRow, SandboxState},
    error::OpenError,
    estate::Estate,
};

/// Rows read at once.
const PAGE: i64 = 200;

impl Estate {
    /// Half-made and half-removed sandboxes are removed.
    pub(crate) async fn clear_halves(&self) -> Result<(), OpenError> {
        for row in self.left_in(&[SandboxState::Creating, SandboxState::Deleting]).await? {
            tracing::warn!(
                sandbox = row.name,
                state = row.state,
                "removing what a killed process left behind"
            );
            self.raze(&row).await?;
        }
        Ok(())
    }

    /// Sandboxes whose reset was cut off are reset again: the old data was given up, the new may not be whole. One that
    /// fails hinders nobody; it can be reset or deleted.
    pub(crate) async fn finish_resets(self: &Arc<Self>) -> Result<(), OpenError> {
        for row in self.left_in(&[SandboxState::Changing]).await? {
            let Ok(name) = row.name.parse() else { continue };
            tracing::warn!(sandbox = row.name, "resetting again: a killed process left it half reset");
            if let Err(error) = self.reset(&Control::cx(), &name).await {
                tracing::error!(sandbox = row.name, ?error, "the reset failed again; delete the sandbox");
            }
        }
        Ok(())
    }

    async fn left_in(&self, states: &[SandboxState]) -> Result<Vec<SandboxRow>, OpenError> {
        let mut left = Vec::new();
        let mut after = String::new();
        loop {
            let rows = self.control.list(&after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(left) };
            after = last.name.clone();
            left.extend(rows.into_iter().filter(|row| states.iter().any(|state| state.text() == row.state)));
        }
    }
}
