-- iam: tokens that travel in mails. Whoever shows one has read the mail; only the hash of it is kept.

create table iam.mail_token (
    -- SHA-256 of the token, which has 256 bits.
    hash bytea primary key,
    user_id uuid not null references iam.user_account on delete cascade,
    purpose text not null check (purpose in ('verify', 'reset')),
    -- A mail that somebody asked for counts against the three of an hour; that of a new account does not.
    asked_for boolean not null,
    -- Real time: the window does not follow the sandbox's clock.
    made_real timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index mail_token_of_user on iam.mail_token (user_id, purpose, made_real);
create index mail_token_by_expiry on iam.mail_token (expires_at);
alter table iam.mail_token enable row level security;
alter table iam.mail_token force row level security;
create policy system_rows on iam.mail_token to pk_system using (true) with check (true);
create policy owner_rows on iam.mail_token to pk_owner using (true) with check (true);
grant select, insert, update, delete on iam.mail_token to pk_system;

insert into kernel.not_cloned values ('iam.mail_token', null);
