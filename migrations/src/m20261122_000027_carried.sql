-- Which events of its stretch of the log a request carried, as the steps from each place to the next; none where it carried all.
-- Requests leave beside each other, and each has a part of the same stretch.
ALTER TABLE callback_attempts ADD COLUMN steps TEXT NULL;
