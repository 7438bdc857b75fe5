-- Functions for plates as people write them: small letters, spaces and dashes do not matter.
-- plateLike(plate, 'AB?12*'): ? is one character, * any number of them, as on a hotlist.
CREATE OR REPLACE FUNCTION plateLike AS (plate, pattern) -> (plate LIKE translate(
    replaceRegexpAll(upper(replaceRegexpAll(pattern, '[\\s.·•-]+', '')), '[%_\\\\]', '\\\\\\0'), '?*', '_%'));

-- plateSkeleton(plate): characters that look alike become one: 0 O Q D, 1 I L, 2 Z, 5 S, 6 G, 8 B.
CREATE OR REPLACE FUNCTION plateSkeleton AS (plate) -> translate(
    upper(replaceAll(replaceAll(plate, ' ', ''), '-', '')), 'OQDILZSGB', '000112568');

-- plateDistance(a, b): letters put in, left out or changed; a change between two that look alike counts half.
CREATE OR REPLACE FUNCTION plateDistance AS (a, b) -> ((
    editDistance(upper(replaceAll(replaceAll(a, ' ', ''), '-', '')), upper(replaceAll(replaceAll(b, ' ', ''), '-', '')))
    + editDistance(plateSkeleton(a), plateSkeleton(b))) / 2);
