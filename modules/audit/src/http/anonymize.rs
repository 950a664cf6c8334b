use std::sync::Arc;

use ports::http::{Access, Body, Cx, One, Operation, Result, Routes, State};

use crate::{AnonymizeIn, AnonymizedOut, Audit};

pub(super) fn add(routes: Routes<Arc<Audit>>) -> Routes<Arc<Audit>> {
    routes.add(
        Operation::post("/audit/anonymize", "anonymizeAuditTrail", Access::Permission("audit.anonymize"))
            .summary("Empty what the audit trail keeps of a person")
            .description(
                "E-mail, name, address and agent become `[REDACTED]`, IP addresses `0.0.0.0`. What they did stays, the \
                 chain stays whole, and records of money stay as they are. It can't be undone.",
            )
            .body::<AnonymizeIn>()
            .example(r#"{"userId":"019a0000-0000-7000-8000-000000000001"}"#)
            .answer::<AnonymizedOut>(200),
        anonymize,
    )
}

async fn anonymize(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Body(person): Body<AnonymizeIn>,
) -> Result<One<AnonymizedOut>> {
    Ok(One::new(audit.anonymize(&cx, person.user_id).await?))
}
