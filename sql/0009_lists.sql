-- What the lists of mailboxes are read from: each filter and each order of `store/selection.py` has its index, so that a
-- page of fifty costs the same among a hundred as among a hundred thousand. The first three answer without the table.

CREATE INDEX mailboxes_listed ON mailboxes (lower(address)) INCLUDE (address, id, user_id, state, provider)
    WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_of_user ON mailboxes (user_id, lower(address)) INCLUDE (address, id, state, provider)
    WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_by_state ON mailboxes (state, lower(address)) INCLUDE (address, id, user_id, provider)
    WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_newest ON mailboxes (user_id, id) WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_labels ON mailboxes USING gin (labels) WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_pool ON mailboxes (pool_id, id) WHERE state IN ('ACTIVE', 'RECEIVE_ONLY');

-- Removed ones, too: the list goes by the time that each can be undone until; enrolling asks whether an address can.
CREATE INDEX removals_until ON removals (undo_until, mailbox_id);
CREATE INDEX mailboxes_removed ON mailboxes (lower(address)) WHERE state = 'REMOVED';
CREATE INDEX mailboxes_removed_of ON mailboxes (user_id) WHERE state = 'REMOVED';
