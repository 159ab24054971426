-- The newest published serial that an import came after. Imports of before are not on record: as if one
-- came just now.
INSERT INTO state (name, value)
    SELECT 'imported_serial', value FROM state WHERE name = 'published_serial';
