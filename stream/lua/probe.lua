-- Stands before every script that touches keys which are not in KEYS (inboxes, hours).
--
-- While a slot of a cluster is on its way to another node, half of a shard's keys may be there already: a write to one
-- of those would fail after others have been made, and a key read there would look empty. The name asked for here never
-- exists, so that on a slot that is being moved the question itself fails, before anything was done.
redis.call('EXISTS', KEYS[1] .. ':none')
