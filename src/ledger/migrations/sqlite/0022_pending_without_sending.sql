-- Pending deliveries are counted without those that are being sent: these are few, and who reads the counts adds them (their index
-- is deliveries_leased). So nothing is counted for a call that is sent as soon as it is accepted, and delivered.
UPDATE delivery_counts SET pending = pending - (SELECT count(*) FROM deliveries d
    WHERE d.state = 'sending' AND NOT d.test AND d.endpoint_id = delivery_counts.endpoint_id);

DROP TRIGGER count_added_delivery;
CREATE TRIGGER count_added_delivery AFTER INSERT ON deliveries
    WHEN NEW.state NOT IN ('sending', 'delivered') AND NOT NEW.test
BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        VALUES (NEW.endpoint_id, NEW.state <> 'failed', NEW.state = 'failed')
        ON CONFLICT (endpoint_id) DO UPDATE SET pending = pending + excluded.pending, failed = failed + excluded.failed;
END;
DROP TRIGGER count_changed_delivery;
CREATE TRIGGER count_changed_delivery AFTER UPDATE OF state ON deliveries
    WHEN NOT NEW.test AND ((NEW.state = 'failed') <> (OLD.state = 'failed')
        OR (NEW.state IN ('waiting', 'queued')) <> (OLD.state IN ('waiting', 'queued')))
BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        VALUES (NEW.endpoint_id, (NEW.state IN ('waiting', 'queued')) - (OLD.state IN ('waiting', 'queued')),
                (NEW.state = 'failed') - (OLD.state = 'failed'))
        ON CONFLICT (endpoint_id) DO UPDATE SET pending = pending + excluded.pending, failed = failed + excluded.failed;
END;
DROP TRIGGER count_removed_delivery;
CREATE TRIGGER count_removed_delivery AFTER DELETE ON deliveries
    WHEN OLD.state NOT IN ('sending', 'delivered') AND NOT OLD.test
BEGIN
    UPDATE delivery_counts SET pending = pending - (OLD.state <> 'failed'), failed = failed - (OLD.state = 'failed')
        WHERE endpoint_id = OLD.endpoint_id;
END;
