//! Planting a seed in a sandbox that runs.

use std::sync::Arc;

use kernel::{Ctx, Error, FieldCode, Result, SandboxName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    estate::Estate,
    seed::{Seed, SeedError, SeedReport},
};

/// What is to be planted: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedIn {
    /// `demo`, the seed that ships.
    template: Option<String>,
    /// A seed's text, as YAML.
    yaml: Option<String>,
}

impl SeedIn {
    fn read(&self) -> Result<Seed> {
        match (self.template.as_deref(), self.yaml.as_deref()) {
            (Some("demo"), None) => {
                Seed::named("demo").map_err(Error::internal)?.ok_or_else(|| Error::not_found("seed"))
            }
            (Some(other), None) => {
                let message =
                    format!("there is no seed \u{201c}{other}\u{201d}; use demo, or give its text as yaml");
                Err(Error::field("/template", FieldCode::NotAllowed, message))
            }
            (None, Some(text)) => Seed::parse("the seed", text)
                .map_err(|error| Error::field("/yaml", FieldCode::InvalidFormat, error.to_string())),
            _ => Err(Error::field("/yaml", FieldCode::Required, "give either template or yaml")),
        }
    }
}

impl Estate {
    /// Plants a seed in a sandbox; what is there already stays.
    ///
    /// # Errors
    /// `not-found`; `validation-error` for a seed that does not fit; what a service refused, with what was being
    /// planted. What was planted before that stays, and planting again goes on from there.
    pub async fn seed(self: &Arc<Self>, cx: &Ctx, name: &SandboxName, input: SeedIn) -> Result<SeedReport> {
        let seed = input.read()?;
        let _verb = self.verbs.acquire().await.map_err(Error::internal)?;
        let request = self.control.begin(cx).await?;
        let cell = self.cell(name).await?;
        let report = seed.plant(&cell).await.map_err(refusal)?;
        request.commit(report).await
    }
}

fn refusal(error: SeedError) -> Error {
    match error {
        SeedError::Refused { what, source } => {
            let detail = format!("{what}: {}", source.detail());
            Error::new(source.slug(), detail).because(source)
        }
        other => Error::field("/yaml", FieldCode::InvalidFormat, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_named_or_given_and_a_mistake_in_it_is_told_with_its_line() {
        let read = |template: Option<&str>, yaml: Option<&str>| {
            SeedIn { template: template.map(str::to_owned), yaml: yaml.map(str::to_owned) }.read()
        };
        assert!(read(Some("demo"), None).is_ok());
        assert!(read(None, Some("tenants: []")).is_ok());
        for bad in [read(None, None), read(Some("demo"), Some("")), read(Some("/etc/passwd"), None)] {
            assert!(bad.is_err());
        }
        let error = read(None, Some("tenants:\n  - { slug: a, nmae: A, kind: client }\n")).unwrap_err();
        let told = &error.field_errors()[0];
        assert!(told.field == "/yaml" && told.message.contains("line 2"), "{told:?}");
    }
}
