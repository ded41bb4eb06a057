-- search_text: see service.warrior.search_text.
CREATE TABLE warriors (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    dob date NOT NULL,
    fight_skills text[] NOT NULL,
    search_text text NOT NULL
);
