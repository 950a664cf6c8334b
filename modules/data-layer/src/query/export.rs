//! Reads the parameters of exports.

use kernel::FieldError;

use super::MAX_LIMIT;
use super::list::{ListQuery, Parameters};
use crate::catalogue::{Catalogue, Model};

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON record a line.
    #[default]
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

impl<'a> ListQuery<'a> {
    /// Reads and checks the query string of an export: a list without `limit`, `cursor` and `count`, whose pages are
    /// of the largest size.
    ///
    /// # Errors
    /// One entry for everything that is wrong with it.
    pub fn parse_export(
        catalogue: &'a Catalogue,
        model: &'a Model,
        raw: &str,
    ) -> Result<(Self, ExportFormat), Vec<FieldError>> {
        let words = ["select", "sort", "deleted", "format"];
        let mut parameters = Parameters::read(catalogue, model, raw, &words)?;
        let format = match parameters.take("format").as_deref() {
            None | Some("ndjson") => ExportFormat::Ndjson,
            Some("csv") => ExportFormat::Csv,
            Some(_) => parameters.misread("format", "This must be ndjson or csv.").unwrap_or_default(),
        };
        let (sort, deleted) = (parameters.order(model), parameters.deleted());
        let limit = MAX_LIMIT;
        let (selection, part, reached) = parameters.finish(limit)?;
        let list = Self {
            selection,
            filter: part.filter,
            sort,
            reached,
            limit,
            count: false,
            deleted,
            cursor: None,
        };
        Ok((list, format))
    }
}

#[cfg(test)]
mod tests {
    use kernel::FieldCode;

    use super::*;
    use crate::query::sample;

    #[test]
    fn an_export_takes_filters_and_an_order_but_no_page() {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        let (list, format) = ListQuery::parse_export(
            &crm,
            contacts,
            "format=csv&age=gt.3&sort=-name&select=name,company(name)",
        )
        .unwrap();
        assert_eq!((list.limit, format), (MAX_LIMIT, ExportFormat::Csv));
        assert_eq!(list.members().collect::<Vec<_>>(), ["name", "company"]);
        let refused = |raw| {
            let errors = ListQuery::parse_export(&crm, contacts, raw).map(|_| ()).unwrap_err();
            (errors[0].field.clone(), errors[0].code)
        };
        assert_eq!(refused("cursor=abc"), ("cursor".to_owned(), FieldCode::UnknownField));
        assert_eq!(refused("count=true"), ("count".to_owned(), FieldCode::UnknownField));
        assert_eq!(refused("format=xml"), ("format".to_owned(), FieldCode::InvalidFormat));
    }
}
