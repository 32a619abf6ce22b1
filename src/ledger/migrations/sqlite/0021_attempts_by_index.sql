-- Of PostgreSQL alone; SQLite finds the delivery of an attempt by its index.
SELECT 1;
