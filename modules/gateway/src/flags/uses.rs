use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use flags::{Effective, Evaluation};

use crate::metrics::Exposition;

/// How often each variation of each flag was given to somebody. Flags are those of the file; tenants' own ones are
/// counted together, and what clients call flags without there being any, too: so the series stay few.
#[derive(Clone, Default)]
pub struct FlagUses(Arc<Mutex<BTreeMap<Use, u64>>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    flag: String,
    variation: String,
    source: &'static str,
}

impl FlagUses {
    /// Counts an evaluation that was made here.
    pub(super) fn evaluated(&self, flags: &Effective, key: &str, evaluation: &Evaluation<'_>) {
        if evaluation.is_tracked() {
            self.count(flags, key, evaluation.variation, "server", 1);
        }
    }

    /// Counts what a client evaluated by itself.
    pub(super) fn told(&self, flags: &Effective, key: &str, variation: &str) {
        self.count(flags, key, variation, "client", 1);
    }

    fn count(&self, flags: &Effective, key: &str, variation: &str, source: &'static str, times: u64) {
        let of_file = flags.is_of_file(key).then(|| flags.get(key)).flatten();
        let counted = match of_file {
            Some(flag) => {
                let known = flag.definition().variations.contains_key(variation);
                let variation = if known { variation } else { flags::SDK_DEFAULT };
                Use { flag: key.to_owned(), variation: variation.to_owned(), source }
            }
            None => Use { flag: "(other)".to_owned(), variation: "(other)".to_owned(), source },
        };
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *uses.entry(counted).or_default() += times;
    }

    /// Writes the counters.
    pub(crate) fn write(&self, out: &mut Exposition, sandbox: &str) {
        for (Use { flag, variation, source }, count) in
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let labels = [
                ("sandbox", sandbox),
                ("flag", flag.as_str()),
                ("variation", variation.as_str()),
                ("source", source),
            ];
            out.counter(
                "feature_flag_evaluations_total",
                "Feature flags given to somebody.",
                &labels,
                *count as f64,
            );
        }
    }
}
