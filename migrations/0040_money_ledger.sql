-- Wallets and the ledger. Money moves only by entries, entries are written only by money.post, and what they add up to is
-- kept by triggers: no role, the owner of the tables included, writes a balance, an unbalanced transaction, or over what
-- was written.

create schema money;

create table money.wallet (
    id uuid primary key,
    tenant_id uuid not null,
    -- user: asked for; owner: made with the tenant, for its Owner; tenant: the tenant's own, from which it pays.
    kind text not null check (kind in ('user', 'owner', 'tenant')),
    user_id uuid,
    label text,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    -- The sums of the wallet's entries, in minor units.
    available bigint not null default 0 constraint wallet_available check (available between 0 and 9007199254740991),
    frozen bigint not null default 0 constraint wallet_frozen check (frozen between 0 and 9007199254740991),
    open_holds smallint not null default 0 constraint wallet_open_holds check (open_holds between 0 and 100),
    state text not null default 'active' check (state in ('active', 'frozen')),
    -- Why it is frozen.
    reason text,
    created_at timestamptz not null default kernel.now(),
    check ((kind = 'tenant') = (user_id is null))
) with (fillfactor = 70);
create index wallet_by_time on money.wallet (tenant_id, created_at, id);
create index wallet_by_user on money.wallet (tenant_id, user_id, created_at, id) where user_id is not null;
-- Those that are made without anybody asking exist once.
create unique index wallet_of_tenant on money.wallet (tenant_id, kind, currency) where kind <> 'user';

create table money.transaction (
    id uuid primary key,
    tenant_id uuid not null,
    kind text not null check (kind in ('credit', 'debit', 'transfer', 'hold', 'confirm', 'cancel', 'expiry', 'reversal',
                                       'charge')),
    -- Whose it is: the sender's, for a transfer.
    wallet_id uuid not null,
    -- The receiver of a transfer.
    counterparty_id uuid,
    amount bigint not null check (amount between 1 and 9007199254740991),
    currency text not null,
    -- The hold that it settles, and the transaction that it reverses: each is done once.
    hold_id uuid,
    reverses uuid,
    -- The name under which another service may charge again without charging twice, for ever.
    charge_key uuid,
    description text,
    metadata jsonb,
    at timestamptz not null,
    check ((counterparty_id is not null) = (kind = 'transfer')),
    check ((hold_id is not null) = (kind in ('confirm', 'cancel', 'expiry'))),
    check ((reverses is not null) = (kind = 'reversal')),
    check ((charge_key is not null) = (kind = 'charge'))
);
create unique index transaction_settles on money.transaction (hold_id) where hold_id is not null;
create unique index transaction_reverses on money.transaction (reverses) where reverses is not null;
create unique index transaction_charges on money.transaction (tenant_id, charge_key) where charge_key is not null;

-- Which wallets and currencies there are is not checked by foreign keys, row by row, but for all entries of a statement
-- at once, in money.entries_added; wallets and transactions never go away.
create table money.entry (
    transaction_id uuid not null,
    -- From 1 within its transaction.
    line smallint not null check (line >= 1),
    tenant_id uuid not null,
    -- wallet and holds: what a wallet has available, and what is set aside of it. external: everything outside. fees:
    -- what the platform has taken.
    account text not null check (account in ('wallet', 'holds', 'external', 'fees')),
    wallet_id uuid,
    amount bigint not null check (amount <> 0),
    currency text not null,
    -- The first entry of its transaction for this wallet: lists show a transaction once.
    leads boolean not null,
    -- The order in which a wallet's entries were written.
    place bigint generated always as identity,
    at timestamptz not null,
    primary key (transaction_id, line),
    check ((wallet_id is not null) = (account in ('wallet', 'holds')))
);
create index entry_of_wallet on money.entry (wallet_id, at, place) include (amount, account, leads)
    where wallet_id is not null;
create index entry_of_account on money.entry (tenant_id, account, currency) include (amount) where wallet_id is null;

-- What is set aside, under the id of the transaction that set it aside. Its state is all that changes, once.
create table money.hold (
    id uuid primary key,
    tenant_id uuid not null,
    wallet_id uuid not null,
    amount bigint not null check (amount >= 1),
    currency text not null,
    -- On the sandbox's clock.
    expires_at timestamptz not null,
    state text not null default 'held' check (state in ('held', 'confirmed', 'canceled', 'expired')),
    settled_by uuid,
    check ((settled_by is null) = (state = 'held'))
);
create index hold_of_wallet on money.hold (wallet_id, expires_at) where state = 'held';
create index hold_by_expiry on money.hold (tenant_id, expires_at) where state = 'held';

-- The balances of the accounts that are nobody's wallet. That of `holds` is all that wallets have set aside.
create table money.account (
    tenant_id uuid not null,
    account text not null check (account in ('holds', 'external', 'fees')),
    currency text not null,
    balance bigint not null,
    primary key (tenant_id, account, currency)
) with (fillfactor = 50);

do $$
declare
    name text;
begin
    foreach name in array array['wallet', 'transaction', 'entry', 'hold', 'account'] loop
        call kernel.protect(('money.' || name)::regclass);
        execute format('revoke insert, update, delete on money.%I from pk_app, pk_system', name);
    end loop;
end
$$;
grant insert (id, tenant_id, kind, user_id, label, currency) on money.wallet to pk_app;
grant update (label, state, reason) on money.wallet to pk_app, pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- What may never be.

create function money.never_changed() returns trigger
    language plpgsql
as $$
begin
    raise exception 'the ledger is never changed: correct it by a reversal' using errcode = 'restrict_violation';
end
$$;
create trigger transaction_stays before update or delete or truncate on money.transaction
    for each statement execute function money.never_changed();
create trigger entry_stays before update or delete or truncate on money.entry
    for each statement execute function money.never_changed();
create trigger wallet_stays before delete or truncate on money.wallet
    for each statement execute function money.never_changed();
create trigger hold_stays before delete or truncate on money.hold
    for each statement execute function money.never_changed();

create function money.only_by_entries() returns trigger
    language plpgsql
as $$
begin
    raise exception 'a balance changes only with entries of the ledger' using errcode = 'restrict_violation';
end
$$;
create trigger wallet_balance before update of available, frozen, open_holds on money.wallet
    for each row when (pg_trigger_depth() = 0) execute function money.only_by_entries();
create trigger account_balance before insert or update or delete on money.account
    for each row when (pg_trigger_depth() = 0) execute function money.only_by_entries();
create trigger account_stays before truncate on money.account
    for each statement execute function money.only_by_entries();

-- A wallet begins empty, and stays its tenant's, its user's and in its currency.
create function money.wallet_keeps() returns trigger
    language plpgsql
as $$
begin
    raise exception 'whose a wallet is, and its currency, are never changed' using errcode = 'restrict_violation';
end
$$;
create trigger wallet_keeps before update on money.wallet
    for each row when ((old.id, old.tenant_id, old.kind, old.user_id, old.currency)
                       is distinct from (new.id, new.tenant_id, new.kind, new.user_id, new.currency))
    execute function money.wallet_keeps();
create trigger wallet_begins_empty before insert on money.wallet
    for each row when (new.available <> 0 or new.frozen <> 0 or new.open_holds <> 0)
    execute function money.only_by_entries();

create function money.hold_settles() returns trigger
    language plpgsql
as $$
begin
    if old.state <> 'held' or new.state = 'held'
       or (old.id, old.tenant_id, old.wallet_id, old.amount, old.currency, old.expires_at)
          is distinct from (new.id, new.tenant_id, new.wallet_id, new.amount, new.currency, new.expires_at) then
        raise exception 'a hold is settled once, and nothing else of it changes' using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger hold_settles before update on money.hold
    for each row execute function money.hold_settles();

-- ---------------------------------------------------------------------------------------------------------------
-- What follows from what is written.

-- Entries of one statement are looked at together. Each transaction comes whole (it has its line 1 here, and the primary
-- key lets no second one in) and balanced; then the balances follow, and their checks refuse what is not there.
create function money.entries_added() returns trigger
    language plpgsql
as $$
declare
    wrong uuid;
    wanted bigint;
    found_wallets bigint;
begin
    select a.transaction_id into wrong
    from added a
    group by a.transaction_id, a.currency
    having sum(a.amount) <> 0
    limit 1;
    if wrong is not null then
        raise exception 'transaction % is not balanced', wrong
            using errcode = 'integrity_constraint_violation', constraint = 'entry_balanced';
    end if;
    select a.transaction_id into wrong
    from added a
    left join money.transaction t on t.id = a.transaction_id and t.tenant_id = a.tenant_id
    group by a.transaction_id
    having min(a.line) <> 1 or bool_or(t.id is null) or count(distinct a.tenant_id) <> 1
    limit 1;
    if wrong is not null then
        raise exception 'the entries of transaction % come at once, with it and for its tenant', wrong
            using errcode = 'integrity_constraint_violation', constraint = 'entry_whole';
    end if;

    with change as (
        select a.tenant_id, a.wallet_id, a.currency,
               coalesce(sum(a.amount) filter (where a.account = 'wallet'), 0) as available,
               coalesce(sum(a.amount) filter (where a.account = 'holds'), 0) as frozen
        from added a
        where a.wallet_id is not null
        group by a.tenant_id, a.wallet_id, a.currency
    ), changed as (
        update money.wallet w
        set available = w.available + c.available, frozen = w.frozen + c.frozen
        from change c
        where w.id = c.wallet_id and w.tenant_id = c.tenant_id and w.currency = c.currency
        returning 1
    )
    select (select count(*) from change), (select count(*) from changed) into wanted, found_wallets;
    if wanted <> found_wallets then
        raise exception 'an entry names a wallet that is not there, not the tenant''s, or in another currency'
            using errcode = 'foreign_key_violation', constraint = 'entry_wallet';
    end if;

    insert into money.account as s (tenant_id, account, currency, balance)
    select a.tenant_id, a.account, a.currency, sum(a.amount)
    from added a
    where a.account <> 'wallet'
    group by a.tenant_id, a.account, a.currency
    order by a.tenant_id, a.account, a.currency
    on conflict (tenant_id, account, currency) do update set balance = s.balance + excluded.balance;
    return null;
end
$$;
create trigger entries_added after insert on money.entry
    referencing new table as added
    for each statement execute function money.entries_added();

create function money.holds_placed() returns trigger
    language plpgsql
as $$
begin
    update money.wallet w
    set open_holds = w.open_holds + c.placed
    from (select a.wallet_id, count(*) as placed from added a where a.state = 'held' group by a.wallet_id) c
    where w.id = c.wallet_id;
    return null;
end
$$;
create trigger holds_placed after insert on money.hold
    referencing new table as added
    for each statement execute function money.holds_placed();

create function money.holds_settled() returns trigger
    language plpgsql
as $$
begin
    update money.wallet w
    set open_holds = w.open_holds - c.settled
    from (select a.wallet_id, count(*) as settled from added a group by a.wallet_id) c
    where w.id = c.wallet_id;
    return null;
end
$$;
create trigger holds_settled after update on money.hold
    referencing new table as added
    for each statement execute function money.holds_settled();

-- Writes transactions with their entries, the holds they place, and how they settle others: the only way in, and for
-- the tenant alone to which the connection is bound. The caller has locked the wallets, in ascending order of their ids.
create function money.post(of_tenant uuid, transactions jsonb, entries jsonb, placed jsonb, settled jsonb)
    returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    done bigint;
begin
    if of_tenant is null or of_tenant is distinct from kernel.tenant() then
        raise exception 'money moves for the bound tenant alone' using errcode = 'insufficient_privilege';
    end if;
    insert into money.transaction (id, tenant_id, kind, wallet_id, counterparty_id, amount, currency, hold_id, reverses,
                                   charge_key, description, metadata, at)
    select t.id, of_tenant, t.kind, t.wallet, t.counterparty, t.amount, t.currency, t.hold, t.reverses, t.charge,
           t.description, nullif(t.metadata, 'null'), t.at
    from jsonb_to_recordset(transactions)
        as t(id uuid, kind text, wallet uuid, counterparty uuid, amount bigint, currency text, hold uuid, reverses uuid,
             charge uuid, description text, metadata jsonb, at timestamptz);

    if jsonb_array_length(placed) > 0 then
        insert into money.hold (id, tenant_id, wallet_id, amount, currency, expires_at)
        select h.id, of_tenant, h.wallet, h.amount, h.currency, h.expires_at
        from jsonb_to_recordset(placed)
            as h(id uuid, wallet uuid, amount bigint, currency text, expires_at timestamptz);
    end if;
    if jsonb_array_length(settled) > 0 then
        update money.hold h
        set state = s.state, settled_by = s.by
        from jsonb_to_recordset(settled) as s(id uuid, state text, by uuid)
        where h.id = s.id and h.tenant_id = of_tenant;
        get diagnostics done = row_count;
        if done <> jsonb_array_length(settled) then
            raise exception 'a hold is settled that is not there' using errcode = 'foreign_key_violation';
        end if;
    end if;

    insert into money.entry (transaction_id, line, tenant_id, account, wallet_id, amount, currency, leads, at)
    select e.transaction, e.line, of_tenant, e.account, e.wallet, e.amount, e.currency, e.leads, e.at
    from rows from (
        jsonb_to_recordset(entries)
            as (transaction uuid, line smallint, account text, wallet uuid, amount bigint, currency text,
                leads boolean, at timestamptz)
    ) with ordinality as e(transaction, line, account, wallet, amount, currency, leads, at, number)
    order by e.number;
end
$$;
revoke execute on function money.post(uuid, jsonb, jsonb, jsonb, jsonb) from public;
grant execute on function money.post(uuid, jsonb, jsonb, jsonb, jsonb) to pk_app;
