-- iam: people, tenants, roles, sessions and keys. A person is global in the sandbox and reaches a tenant through a
-- membership; what is secret about a person lies in tables that no tenant's connection reaches.

create schema iam;
grant usage on schema iam to pk_app, pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- Tenants: a tree, with its closure beside it so that “is it below me” is one look at an index.

create table iam.tenant (
    id uuid primary key,
    -- Its name in hosts.
    slug text not null,
    name text not null,
    kind text not null check (kind in ('platform', 'partner', 'client')),
    parent_id uuid references iam.tenant,
    state text not null default 'active' check (state in ('active', 'blocked', 'deleted')),
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    deleted_at timestamptz,
    version integer not null default 1,
    constraint tenant_slug unique (slug),
    check ((state = 'deleted') = (deleted_at is not null))
);
create unique index tenant_platform on iam.tenant (kind) where kind = 'platform';
create index tenant_by_parent on iam.tenant (parent_id);
create index tenant_by_deletion on iam.tenant (deleted_at) where deleted_at is not null;

create table iam.tenant_path (
    ancestor_id uuid not null references iam.tenant on delete cascade,
    descendant_id uuid not null references iam.tenant on delete cascade,
    -- 0: the tenant itself.
    depth smallint not null check (depth >= 0),
    primary key (ancestor_id, descendant_id)
);
create index tenant_path_up on iam.tenant_path (descendant_id, ancestor_id);

-- A tenant sees itself and what lies below it; the tree is written by the system alone.
alter table iam.tenant_path enable row level security;
alter table iam.tenant_path force row level security;
create policy tenant_rows on iam.tenant_path to pk_app using (ancestor_id = kernel.tenant());
create policy system_rows on iam.tenant_path to pk_system using (true) with check (true);
create policy owner_rows on iam.tenant_path to pk_owner using (true) with check (true);
grant select on iam.tenant_path to pk_app;
grant select, insert, update, delete on iam.tenant_path to pk_system;

alter table iam.tenant enable row level security;
alter table iam.tenant force row level security;
create policy tenant_rows on iam.tenant to pk_app
    using (exists (select 1 from iam.tenant_path p
                   where p.ancestor_id = kernel.tenant() and p.descendant_id = iam.tenant.id));
create policy system_rows on iam.tenant to pk_system using (true) with check (true);
create policy owner_rows on iam.tenant to pk_owner using (true) with check (true);
grant select on iam.tenant to pk_app;
grant select, insert, update, delete on iam.tenant to pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- People. `email` is kept in lower case.

create table iam.user_account (
    id uuid primary key,
    email text not null,
    name text not null,
    email_verified_at timestamptz,
    -- Where the next sign-in goes without asking.
    last_tenant_id uuid references iam.tenant on delete set null,
    created_at timestamptz not null default kernel.now(),
    constraint user_account_email unique (email)
);
create index user_account_by_last_tenant on iam.user_account (last_tenant_id);

create table iam.membership (
    tenant_id uuid not null references iam.tenant on delete cascade,
    user_id uuid not null references iam.user_account on delete cascade,
    -- What the tenant calls the person.
    name text not null,
    state text not null default 'active' check (state in ('active', 'blocked', 'deleted')),
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    deleted_at timestamptz,
    version integer not null default 1,
    primary key (tenant_id, user_id),
    check ((state = 'deleted') = (deleted_at is not null))
);
create index membership_by_user on iam.membership (user_id);
create index membership_by_time on iam.membership (tenant_id, created_at desc, user_id desc);
create index membership_by_deletion on iam.membership (deleted_at) where deleted_at is not null;
call kernel.protect('iam.membership');

-- A tenant sees the people who are its members, and changes none of them.
alter table iam.user_account enable row level security;
alter table iam.user_account force row level security;
create policy tenant_rows on iam.user_account to pk_app
    using (exists (select 1 from iam.membership m
                   where m.tenant_id = kernel.tenant() and m.user_id = iam.user_account.id));
create policy system_rows on iam.user_account to pk_system using (true) with check (true);
create policy owner_rows on iam.user_account to pk_owner using (true) with check (true);
grant select on iam.user_account to pk_app;
grant select, insert, update, delete on iam.user_account to pk_system;

-- Password hashes: for sign-in alone. A copy of the sandbox keeps them.
create table iam.credential (
    user_id uuid primary key references iam.user_account on delete cascade,
    -- PHC string; the parameters stand in it.
    password_hash text not null,
    changed_at timestamptz not null default kernel.now()
);
alter table iam.credential enable row level security;
alter table iam.credential force row level security;
create policy system_rows on iam.credential to pk_system using (true) with check (true);
create policy owner_rows on iam.credential to pk_owner using (true) with check (true);
grant select, insert, update, delete on iam.credential to pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- Roles. What a built-in role grants is worked out by the program; `permissions` is for custom ones.

create table iam.role (
    id uuid primary key,
    tenant_id uuid not null references iam.tenant on delete cascade,
    kind text not null check (kind in ('owner', 'admin', 'member', 'custom')),
    name text not null,
    description text not null default '',
    permissions text[] not null default '{}',
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    version integer not null default 1,
    unique (tenant_id, id),
    check (kind = 'custom' or permissions = '{}')
);
create unique index role_name on iam.role (tenant_id, lower(name));
create unique index role_built_in on iam.role (tenant_id, kind) where kind <> 'custom';
create index role_by_time on iam.role (tenant_id, created_at, id);
call kernel.protect('iam.role');

create table iam.member_role (
    tenant_id uuid not null,
    user_id uuid not null,
    role_id uuid not null,
    -- Whether it is the Owner role; exactly one member of a tenant holds that.
    owner boolean not null default false,
    primary key (tenant_id, user_id, role_id),
    foreign key (tenant_id, user_id) references iam.membership on delete cascade,
    constraint member_role_in_use foreign key (tenant_id, role_id) references iam.role (tenant_id, id)
);
create unique index member_role_owner on iam.member_role (tenant_id) where owner;
create index member_role_by_role on iam.member_role (tenant_id, role_id);
call kernel.protect('iam.member_role');

-- ---------------------------------------------------------------------------------------------------------------
-- Sessions: one sign-in of one person to one tenant, with the family of its refresh tokens.

create table iam.session (
    id uuid primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    agent text,
    address text,
    created_at timestamptz not null default kernel.now(),
    last_used_at timestamptz not null default kernel.now(),
    -- When its newest refresh token ends.
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_because text check (revoked_because in ('logout', 'replaced', 'reuse', 'password', 'blocked', 'revoked')),
    unique (tenant_id, id),
    foreign key (tenant_id, user_id) references iam.membership on delete cascade
);
create index session_of_member on iam.session (tenant_id, user_id, created_at desc, id desc);
create index session_of_user on iam.session (user_id);
create index session_by_expiry on iam.session (expires_at);
call kernel.protect('iam.session');
revoke delete on iam.session from pk_app;

create table iam.refresh_token (
    -- SHA-256 of the token.
    hash bytea primary key,
    tenant_id uuid not null,
    session_id uuid not null,
    issued_at timestamptz not null default kernel.now(),
    expires_at timestamptz not null,
    -- Real time: the grace of 10 s does not follow the sandbox's clock.
    used_at timestamptz,
    foreign key (tenant_id, session_id) references iam.session (tenant_id, id) on delete cascade
);
create index refresh_token_of_session on iam.refresh_token (tenant_id, session_id);
create index refresh_token_by_expiry on iam.refresh_token (expires_at);
call kernel.protect('iam.refresh_token');
revoke all on iam.refresh_token from pk_app;

-- ---------------------------------------------------------------------------------------------------------------
-- Keys.

create table iam.api_key (
    id uuid primary key,
    tenant_id uuid not null references iam.tenant on delete cascade,
    name text not null,
    -- The public part of the key, by which it is found.
    prefix text not null,
    -- SHA-256 of the secret part, which has 256 bits.
    secret_hash bytea not null,
    permissions text[] not null,
    -- `disabled`: it was copied with the sandbox, and the copy does not answer to its source's keys.
    state text not null default 'active' check (state in ('active', 'revoked', 'disabled')),
    expires_at timestamptz,
    last_used_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default kernel.now(),
    revoked_at timestamptz,
    constraint api_key_prefix unique (prefix)
);
create index api_key_by_time on iam.api_key (tenant_id, created_at desc, id desc);
call kernel.protect('iam.api_key');

-- The pair that signs this sandbox's tokens, and its predecessors while their tokens live.
create table iam.signing_key (
    -- RFC 7638 thumbprint.
    kid text primary key,
    -- The point of P-256, uncompressed.
    public_key bytea not null,
    -- PKCS #8, sealed with the sandbox's key.
    private_sealed bytea not null,
    created_at timestamptz not null default kernel.now(),
    retired_at timestamptz,
    -- Tokens for modules live in real time.
    retired_real timestamptz,
    check ((retired_at is null) = (retired_real is null))
);
create unique index signing_key_current on iam.signing_key ((true)) where retired_at is null;
alter table iam.signing_key enable row level security;
alter table iam.signing_key force row level security;
create policy system_rows on iam.signing_key to pk_system using (true) with check (true);
create policy owner_rows on iam.signing_key to pk_owner using (true) with check (true);
grant select, insert, update, delete on iam.signing_key to pk_system;

-- A copy answers to none of its source's credentials but passwords.
insert into kernel.not_cloned values
    ('iam.session', null, '{}'),
    ('iam.refresh_token', null, '{}'),
    ('iam.signing_key', null, '{}'),
    ('iam.api_key', 'update iam.api_key set state = ''disabled'' where state = ''active''', '{restore,keys}');
insert into kernel.carried values
    ('iam.api_key',
     'select jsonb_agg(jsonb_build_object(''id'', id, ''state'', state)) from iam.api_key where state <> ''active''',
     'update iam.api_key k set state = c.state, revoked_at = coalesce(k.revoked_at, kernel.now())
      from jsonb_to_recordset($1) as c(id uuid, state text) where k.id = c.id and k.state = ''active''');
