CREATE TABLE orders (
    id        text PRIMARY KEY,
    customer  text NOT NULL,
    item      text NOT NULL,
    quantity  integer NOT NULL CHECK (quantity > 0),
    placed_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT ON orders TO shop;

