-- See service.idempotency. No index but the key's: row groups keep the smallest and largest
-- created_s, so old rows are found without one, and a column with one can't be updated in place.
CREATE TABLE idempotency_keys (
    key VARCHAR PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    warrior_id UUID NOT NULL,
    created_s BIGINT NOT NULL
);
