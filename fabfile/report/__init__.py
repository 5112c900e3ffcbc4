"""What was looked at and what was done, as one document; and that document for readers: a
page, a picture, JUnit's XML, Prometheus' text.  Pure: no file, no clock, no host."""
