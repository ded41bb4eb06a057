-- search_text: see service.warrior.search_text.
CREATE TABLE warriors (
    id UUID PRIMARY KEY,
    name VARCHAR NOT NULL,
    dob DATE NOT NULL,
    fight_skills VARCHAR[] NOT NULL,
    search_text VARCHAR NOT NULL
);
