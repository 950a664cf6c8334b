-- notify: what people are told, in which words, by which way, and what became of it.

create schema notify;
grant usage on schema notify to pk_app, pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- Whether mail may leave this sandbox at all. Where no SMTP server is configured nothing leaves anyway. A copy of a
-- sandbox starts with `false`: what it sends stays in its outbox until the operator allows it (`allow-outbound`), which
-- calls notify.allow_outbound(true).

create table notify.outbound (
    only_row boolean primary key default true check (only_row),
    allowed boolean not null default true
);
insert into notify.outbound default values;
grant select on notify.outbound to pk_app, pk_system;
grant update on notify.outbound to pk_system;

create function notify.allow_outbound(yes boolean) returns void
    language sql volatile
begin atomic
    update notify.outbound set allowed = yes;
end;

-- ---------------------------------------------------------------------------------------------------------------
-- Notifications.

create table notify.notification (
    id uuid primary key,
    tenant_id uuid not null,
    channel text not null check (channel in ('email', 'in_app')),
    -- What it is about, as preferences name it: `orders.shipped`.
    type text not null,
    -- 0 low, 1 normal, 2 high, 3 critical.
    priority smallint not null check (priority between 0 and 3),
    user_id uuid,
    address text,
    subject text not null,
    body text not null,
    -- Of a template that has one.
    html text,
    meta jsonb not null default '{}',
    template text,
    state text not null default 'queued' check (state in ('queued', 'sent', 'delivered', 'failed', 'suppressed', 'cancelled')),
    attempts smallint not null default 0,
    -- Those of earlier rounds: a manual retry begins a new one.
    attempts_before smallint not null default 0,
    -- On the sandbox's clock: when the next attempt is made.
    due_at timestamptz not null,
    -- Real time: the worker that is sending it has it until then.
    leased_until timestamptz,
    last_error text,
    created_by text not null,
    created_at timestamptz not null default kernel.now(),
    -- When it came to the state it is in now.
    settled_at timestamptz,
    unique (tenant_id, id),
    check ((channel = 'in_app') <= (user_id is not null)),
    check ((channel = 'email') <= (address is not null))
);
create index notification_by_time on notify.notification (tenant_id, created_at desc, id desc);
create index notification_waiting on notify.notification (tenant_id, priority desc, due_at, id) where state = 'queued';
create index notification_failed on notify.notification (tenant_id, settled_at desc, id desc) where state = 'failed';
create index notification_by_age on notify.notification (created_at) where state <> 'queued';
call kernel.protect('notify.notification');

create table notify.attempt (
    tenant_id uuid not null,
    notification_id uuid not null,
    number smallint not null,
    at timestamptz not null default kernel.now(),
    -- Milliseconds that it took.
    took integer not null,
    -- Null: it was accepted.
    error text,
    primary key (tenant_id, notification_id, number),
    foreign key (tenant_id, notification_id) references notify.notification (tenant_id, id) on delete cascade
);
call kernel.protect('notify.attempt');

-- ---------------------------------------------------------------------------------------------------------------
-- The inbox of a person in a tenant.

create table notify.inbox_entry (
    -- That of its notification: a notification lies in an inbox once.
    id uuid primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    type text not null,
    subject text not null,
    body text not null,
    meta jsonb not null default '{}',
    created_at timestamptz not null default kernel.now(),
    read_at timestamptz
);
create index inbox_by_time on notify.inbox_entry (tenant_id, user_id, created_at desc, id desc);
create index inbox_unread on notify.inbox_entry (tenant_id, user_id) where read_at is null;
create index inbox_by_age on notify.inbox_entry (created_at);
call kernel.protect('notify.inbox_entry');

-- ---------------------------------------------------------------------------------------------------------------
-- Templates: a key has one for each channel and language; each change is a version.

create table notify.template (
    id uuid primary key,
    tenant_id uuid not null,
    key text not null,
    channel text not null check (channel in ('email', 'in_app')),
    locale text not null,
    version integer not null default 1,
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    unique (tenant_id, id),
    constraint template_words unique (tenant_id, key, channel, locale)
);
create index template_by_key on notify.template (tenant_id, key, id);
call kernel.protect('notify.template');

create table notify.template_version (
    tenant_id uuid not null,
    template_id uuid not null,
    version integer not null,
    subject text not null,
    body text not null,
    html text,
    created_by text not null,
    created_at timestamptz not null default kernel.now(),
    primary key (tenant_id, template_id, version),
    foreign key (tenant_id, template_id) references notify.template (tenant_id, id) on delete cascade
);
call kernel.protect('notify.template_version');

-- ---------------------------------------------------------------------------------------------------------------
-- What a person wants to be told, and when.

create table notify.preference (
    tenant_id uuid not null,
    user_id uuid not null,
    -- [{"type": "orders.*", "channel": "email", "enabled": false}, …]; the last one that fits counts.
    rules jsonb not null default '[]',
    -- {"from": "22:00", "to": "07:00", "utcOffset": "+02:00"}, or null.
    quiet jsonb,
    version integer not null default 1,
    updated_at timestamptz not null default kernel.now(),
    primary key (tenant_id, user_id)
);
call kernel.protect('notify.preference');

-- ---------------------------------------------------------------------------------------------------------------
-- The outbox: every mail that went out, or would have. Content is sealed with the sandbox's key, for a link in it can be a
-- credential. `tenant_id` is null for mails to accounts, which belong to no tenant: those are the operator's to see.

create table notify.outbox (
    id uuid primary key,
    tenant_id uuid,
    -- Who may read it beside the operator: those of the tenant who may read notifications, or, of a private one, the
    -- reader alone.
    private boolean not null,
    reader uuid,
    address text not null,
    subject text not null,
    template text,
    -- `captured` stays here; the others were meant for a server.
    state text not null check (state in ('captured', 'waiting', 'sent', 'failed')),
    attempts smallint not null default 0,
    last_error text,
    -- {"headers": […], "text": …, "html": …}
    content bytea not null,
    created_at timestamptz not null default kernel.now(),
    check (private or reader is null)
);
create index outbox_by_time on notify.outbox (created_at desc, id desc);
create index outbox_of_tenant on notify.outbox (tenant_id, created_at desc, id desc);
call kernel.protect('notify.outbox');

-- A copy keeps what people were told and starts with an empty outbox; mail that waited in the source is not sent twice.
insert into kernel.not_cloned values
    ('notify.outbound', 'update notify.outbound set allowed = false', '{restore,template}'),
    ('notify.outbox', null, '{restore}'),
    ('notify.notification', 'update notify.notification set state = ''cancelled'', leased_until = null, settled_at = kernel.now()
                             where state = ''queued'' and channel = ''email'';
                             delete from kernel.job where kind in (''notify.mail'', ''notify.private-mail'', ''notify.mail-again'')',
     '{}');
