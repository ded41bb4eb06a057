-- See service.idempotency.
CREATE TABLE idempotency_keys (
    key text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    warrior_id uuid NOT NULL,
    created_s bigint NOT NULL
);

CREATE INDEX idempotency_keys_created_s ON idempotency_keys (created_s);
