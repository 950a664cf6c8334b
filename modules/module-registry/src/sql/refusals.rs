//! Why a kind of statement is refused: rule, what it would do, what to do instead.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableType, ObjectType};

use super::expressions::kind;

pub(super) type Refusal = (&'static str, String, &'static str);

const BACKEND: &str = "Put the logic into the module's back-end, or hear the data.* events";

/// Refusal of a statement that no rule lists.
pub(super) fn of_statement(node: &NodeEnum) -> Refusal {
    use NodeEnum as N;
    let (rule, message, fix) = match node {
        N::SelectStmt(_) => (
            "select",
            "a query alone changes nothing in a migration",
            "Remove it, or put it inside INSERT … SELECT",
        ),
        N::MergeStmt(_) => {
            ("merge", "MERGE is not listed for module SQL", "Use INSERT … ON CONFLICT or UPDATE")
        }
        N::CreateFunctionStmt(_) | N::AlterFunctionStmt(_) | N::CallStmt(_) => {
            ("function", "functions and procedures run with other rights than they show", BACKEND)
        }
        N::DoStmt(_) => ("do-block", "DO runs code that can't be checked", BACKEND),
        N::CreateTrigStmt(_) => ("trigger", "triggers run on each tenant's connection", BACKEND),
        N::CreateEventTrigStmt(_) | N::AlterEventTrigStmt(_) => {
            ("event-trigger", "event triggers act on the whole database", BACKEND)
        }
        N::RuleStmt(_) => ("rule", "rules rewrite the statements of others", BACKEND),
        N::CreatePolicyStmt(_) | N::AlterPolicyStmt(_) => (
            "policy",
            "row-level security policies are the kernel's",
            "Remove it; each table is bound to its tenant at installation",
        ),
        N::VariableSetStmt(_) | N::VariableShowStmt(_) | N::DiscardStmt(_) | N::ConstraintsSetStmt(_) => {
            ("set", "settings carry role and tenant of the connection", "Remove it")
        }
        N::TransactionStmt(_) => {
            ("transaction", "all migrations of a module run in one transaction of the kernel", "Remove it")
        }
        N::CopyStmt(_) => {
            ("copy", "COPY reads and writes files and programs", "Use INSERT, or import through the data API")
        }
        N::GrantStmt(_) | N::GrantRoleStmt(_) | N::AlterDefaultPrivilegesStmt(_) => (
            "grant",
            "rights on the module's tables are set by the kernel",
            "Remove it; permissions stand in the manifest",
        ),
        N::CreateExtensionStmt(_) | N::AlterExtensionStmt(_) | N::AlterExtensionContentsStmt(_) => {
            ("extension", "extensions belong to the whole database", "Do without, or ask the operator")
        }
        N::CreateRoleStmt(_) | N::AlterRoleStmt(_) | N::AlterRoleSetStmt(_) | N::DropRoleStmt(_) => (
            "role",
            "database roles belong to the cluster",
            "Remove it; roles of users are kept by the kernel",
        ),
        N::DropOwnedStmt(_) | N::ReassignOwnedStmt(_) | N::AlterOwnerStmt(_) => {
            ("owner", "the owner of the module's tables is set by the kernel", "Remove it")
        }
        N::CreatedbStmt(_)
        | N::AlterDatabaseStmt(_)
        | N::AlterDatabaseSetStmt(_)
        | N::AlterDatabaseRefreshCollStmt(_)
        | N::DropdbStmt(_) => ("database", "databases are the operator's", "Remove it"),
        N::AlterSystemStmt(_) | N::CheckPointStmt(_) | N::LoadStmt(_) => {
            ("server", "the server's configuration is the operator's", "Remove it")
        }
        N::CreateTableSpaceStmt(_)
        | N::DropTableSpaceStmt(_)
        | N::AlterTableSpaceOptionsStmt(_)
        | N::AlterTableMoveAllStmt(_) => {
            ("tablespace", "a tablespace belongs to the server, not to a module", "Remove it")
        }
        N::CreateSchemaStmt(_) => (
            "schema",
            "the module's schema is made by the kernel",
            "Remove it; names without a schema are the module's own",
        ),
        N::AlterObjectSchemaStmt(_) => {
            ("other-schema", "SET SCHEMA moves an object out of the module's schema", "Remove it")
        }
        N::ViewStmt(_) => (
            "view",
            "a view reads with the rights of its owner, past row-level security",
            "Query the table, or keep a table up to date",
        ),
        N::RefreshMatViewStmt(_) => {
            ("view", "a materialized view holds the rows of all tenants", "Keep a table up to date instead")
        }
        N::CreateTableAsStmt(_) => (
            "create-table-as",
            "this makes a table without keys and tenant",
            "Write CREATE TABLE, then INSERT … SELECT",
        ),
        N::ListenStmt(_) | N::NotifyStmt(_) | N::UnlistenStmt(_) => {
            ("notify", "channels are shared by all tenants", "Publish an event of the manifest")
        }
        N::LockStmt(_) => {
            ("lock", "LOCK stops the other tenants' work", "Remove it; the migration runs in one transaction")
        }
        N::TruncateStmt(_) => {
            ("truncate", "TRUNCATE empties a table past row-level security and triggers", "Use DELETE")
        }
        N::CreateSeqStmt(_) | N::AlterSeqStmt(_) => {
            ("sequence", super::types::SEQUENCE_MESSAGE, super::types::SEQUENCE_FIX)
        }
        N::PrepareStmt(_) | N::ExecuteStmt(_) | N::DeallocateStmt(_) => (
            "prepare",
            "prepared statements outlive the migration on their connection",
            "Write the statement itself",
        ),
        N::DeclareCursorStmt(_) | N::FetchStmt(_) | N::ClosePortalStmt(_) => {
            ("cursor", "cursors outlive their statement", "Write one statement over all rows")
        }
        N::SecLabelStmt(_) => ("security-label", "security labels are the operator's", "Remove it"),
        N::VacuumStmt(_) | N::ClusterStmt(_) | N::ReindexStmt(_) => {
            ("maintenance", "upkeep of tables is the server's own", "Remove it")
        }
        N::ExplainStmt(_) => ("explain", "EXPLAIN changes nothing in a migration", "Remove it"),
        N::CreateDomainStmt(_)
        | N::AlterDomainStmt(_)
        | N::CompositeTypeStmt(_)
        | N::CreateRangeStmt(_)
        | N::AlterTypeStmt(_) => (
            "type-kind",
            "the only types of a module are enums",
            "Use CREATE TYPE … AS ENUM, or CHECK on the column",
        ),
        N::DefineStmt(_)
        | N::CreateCastStmt(_)
        | N::CreateTransformStmt(_)
        | N::CreateConversionStmt(_)
        | N::CreateOpClassStmt(_)
        | N::CreateOpFamilyStmt(_)
        | N::AlterOpFamilyStmt(_)
        | N::AlterOperatorStmt(_)
        | N::AlterCollationStmt(_)
        | N::CreateAmStmt(_)
        | N::CreatePlangStmt(_)
        | N::AlterTsdictionaryStmt(_)
        | N::AlterTsconfigurationStmt(_) => (
            "definition",
            "operators, aggregates, casts and the like run code on each tenant's connection",
            BACKEND,
        ),
        N::CreateFdwStmt(_)
        | N::AlterFdwStmt(_)
        | N::CreateForeignServerStmt(_)
        | N::AlterForeignServerStmt(_)
        | N::CreateForeignTableStmt(_)
        | N::CreateUserMappingStmt(_)
        | N::AlterUserMappingStmt(_)
        | N::DropUserMappingStmt(_)
        | N::ImportForeignSchemaStmt(_) => (
            "foreign-data",
            "foreign data is a way out past the guarded dialler",
            "Call the other system from the module's back-end",
        ),
        N::CreatePublicationStmt(_)
        | N::AlterPublicationStmt(_)
        | N::CreateSubscriptionStmt(_)
        | N::AlterSubscriptionStmt(_)
        | N::DropSubscriptionStmt(_) => {
            ("replication", "replication carries the rows of all tenants", "Hear the data.* events")
        }
        N::CreateStatsStmt(_) | N::AlterStatsStmt(_) => {
            ("statistics", "extended statistics hold values of all tenants", "Remove it")
        }
        other => {
            return (
                "statement",
                format!("{} is not listed for module SQL", kind(other)),
                "Use CREATE, ALTER and DROP of tables, indexes and enums, COMMENT, INSERT, UPDATE and DELETE",
            );
        }
    };
    (rule, message.to_owned(), fix)
}

/// Refusal of a clause of ALTER TABLE that no rule lists.
pub(super) fn of_alteration(subtype: AlterTableType) -> Refusal {
    use AlterTableType as A;
    let (rule, message, fix) = match subtype {
        A::AtEnableRowSecurity
        | A::AtDisableRowSecurity
        | A::AtForceRowSecurity
        | A::AtNoForceRowSecurity => (
            "row-level-security",
            "row-level security is the kernel's; it is on and forced for each table",
            "Remove it",
        ),
        A::AtEnableTrig
        | A::AtEnableAlwaysTrig
        | A::AtEnableReplicaTrig
        | A::AtDisableTrig
        | A::AtEnableTrigAll
        | A::AtDisableTrigAll
        | A::AtEnableTrigUser
        | A::AtDisableTrigUser => ("trigger", "the kernel's triggers record each change", "Remove it"),
        A::AtEnableRule | A::AtEnableAlwaysRule | A::AtEnableReplicaRule | A::AtDisableRule => {
            ("rule", "rules rewrite the statements of others", "Remove it")
        }
        A::AtChangeOwner => ("owner", "the owner of the module's tables is set by the kernel", "Remove it"),
        A::AtAddInherit | A::AtDropInherit => {
            ("inherit", "an inheriting table shows the rows of another", "Write the columns out")
        }
        A::AtAddOf | A::AtDropOf => {
            ("of-type", "a typed table takes its columns from elsewhere", "Write the columns out")
        }
        A::AtAttachPartition | A::AtDetachPartition | A::AtDetachPartitionFinalize => (
            "partition",
            "partitions are tables without row-level security of their own",
            "Use one table with an index",
        ),
        A::AtReplicaIdentity => ("replica-identity", "replication is the operator's", "Remove it"),
        A::AtSetTableSpace => {
            ("tablespace", "a tablespace belongs to the server, not to a module", "Remove it")
        }
        A::AtSetLogged | A::AtSetUnLogged => {
            ("unlogged", "an unlogged table loses its rows after a crash", "Remove it")
        }
        A::AtAddIdentity | A::AtSetIdentity | A::AtDropIdentity => {
            ("sequence", super::types::SEQUENCE_MESSAGE, super::types::SEQUENCE_FIX)
        }
        A::AtAlterConstraint => (
            "deferrable",
            "a deferred constraint fails only at commit, when the caller has been answered",
            "Remove it",
        ),
        A::AtSetStorage
        | A::AtSetCompression
        | A::AtSetStatistics
        | A::AtSetOptions
        | A::AtResetOptions
        | A::AtSetRelOptions
        | A::AtResetRelOptions
        | A::AtReplaceRelOptions
        | A::AtSetAccessMethod
        | A::AtClusterOn
        | A::AtDropCluster => ("storage", "how rows are stored is not a module's to set", "Remove it"),
        other => {
            return (
                "alter-table",
                format!("the clause {} is not listed for module SQL", other.as_str_name()),
                "Add, change, rename or drop columns and constraints",
            );
        }
    };
    (rule, message.to_owned(), fix)
}

/// Refusal of DROP, COMMENT or RENAME on something that a module doesn't own.
pub(super) fn of_object(object: ObjectType) -> Refusal {
    use ObjectType as O;
    let rule = match object {
        O::ObjectFunction | O::ObjectProcedure | O::ObjectRoutine | O::ObjectAggregate => "function",
        O::ObjectTrigger => "trigger",
        O::ObjectEventTrigger => "event-trigger",
        O::ObjectRule => "rule",
        O::ObjectPolicy => "policy",
        O::ObjectRole => "role",
        O::ObjectDatabase => "database",
        O::ObjectSchema => "schema",
        O::ObjectExtension => "extension",
        O::ObjectView | O::ObjectMatview => "view",
        O::ObjectSequence => "sequence",
        O::ObjectDomain | O::ObjectDomconstraint | O::ObjectAttribute => "type-kind",
        O::ObjectTablespace => "tablespace",
        O::ObjectForeignTable | O::ObjectForeignServer | O::ObjectFdw | O::ObjectUserMapping => {
            "foreign-data"
        }
        O::ObjectPublication | O::ObjectSubscription => "replication",
        _ => "statement",
    };
    let what = object.as_str_name().trim_start_matches("OBJECT_").to_ascii_lowercase().replace('_', " ");
    (
        rule,
        format!("a {what} is not a module's to touch"),
        "Only tables, columns, constraints, indexes and enums belong to a module",
    )
}
