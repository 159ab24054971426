-- What stands against the first upload of a project, for as long as it does: targets of the API among
-- the project's paths, and folders of projects whose files an import added without a page. Earlier
-- entries are on record here as far as they are pending; of the others, pages that are published stand
-- against it.
CREATE TABLE foreign_target (
    path TEXT PRIMARY KEY
);
INSERT INTO foreign_target (path)
    SELECT path FROM pending_target
    WHERE sha256 IS NOT NULL AND (path LIKE 'packages/%/%' OR path LIKE 'simple/%/%');
