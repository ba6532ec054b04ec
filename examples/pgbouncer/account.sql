-- What each connection of ours sets for itself at its start, and PgBouncer leaves out: give it to the account. Run as a
-- superuser of PostgreSQL. Without the first line row-level security hides every payment from the server that has just
-- opened it; without the others no lock and no statement has a time limit. `guichet doctor` tells when one is missing.
ALTER ROLE guichet SET guichet.merchants = '*';
ALTER ROLE guichet SET lock_timeout = '2s';
ALTER ROLE guichet SET statement_timeout = '5s';
ALTER ROLE guichet SET idle_in_transaction_session_timeout = '10s';
