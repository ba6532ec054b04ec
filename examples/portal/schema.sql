CREATE TABLE numbering (
    name TEXT PRIMARY KEY,
    batch TEXT NOT NULL,
    last INTEGER NOT NULL
);
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE invoice (
    id INTEGER PRIMARY KEY,
    portal TEXT NOT NULL,
    merchant TEXT NOT NULL,
    number TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    beneficiary TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    due_cents INTEGER NOT NULL CHECK (due_cents > 0 AND due_cents <= amount_cents),
    issued_on TEXT NOT NULL,
    due_on TEXT NOT NULL,
    mark TEXT NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE payment (
    reference TEXT PRIMARY KEY,
    portal TEXT NOT NULL,
    merchant TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('debt', 'top_up')),
    account TEXT NOT NULL,
    label TEXT NOT NULL,
    beneficiary TEXT NOT NULL,
    email TEXT NOT NULL,
    comment TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    refunded_cents INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'draft',
    returned TEXT NOT NULL DEFAULT '',
    pay_id TEXT,
    checkout_url TEXT NOT NULL DEFAULT '',
    form TEXT NOT NULL DEFAULT '{}',
    expires_at TEXT NOT NULL DEFAULT '',
    holds_until TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL
);
CREATE INDEX payment_by_pay_id ON payment (pay_id);
CREATE TABLE payment_line (
    payment TEXT NOT NULL REFERENCES payment (reference),
    reference TEXT NOT NULL,
    label TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    invoice INTEGER REFERENCES invoice (id)
);
CREATE INDEX payment_line_by_invoice ON payment_line (invoice);
CREATE INDEX payment_line_by_payment ON payment_line (payment);
CREATE TABLE event (
    id TEXT PRIMARY KEY,
    portal TEXT NOT NULL,
    payment TEXT NOT NULL,
    reference TEXT NOT NULL,
    merchant TEXT NOT NULL,
    type TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    card TEXT NOT NULL,
    words TEXT NOT NULL,
    sent_at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 1,
    remark TEXT NOT NULL DEFAULT ''
);
