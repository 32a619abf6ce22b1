-- Which calls an endpoint gets; null: all. A call has a bit for its direction (1 incoming, 2 outgoing), one for its recording
-- (4 with, 8 without) and one for its status (16 connected, 32 no-answer, 64 busy, 128 voicemail, 256 left-voicemail, 512 missed,
-- 1024 failed, 2048 canceled). The endpoint gets it if all three are set here.
ALTER TABLE endpoints ADD COLUMN wanted_calls BIGINT;
