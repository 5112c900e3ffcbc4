"""Dumps and drills by the agent, on a real MariaDB."""

import pytest

ACCOUNTS = """
CREATE DATABASE nova; USE nova;
CREATE TABLE a (id INT PRIMARY KEY, balance BIGINT NOT NULL);
CREATE TABLE b (id INT PRIMARY KEY, balance BIGINT NOT NULL, note TEXT, bin VARBINARY(40));
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('c92a3e68beed');
CREATE TABLE loose (word VARCHAR(40));
INSERT INTO loose VALUES ('z'), ('a'), (NULL), ('a');
INSERT INTO a SELECT seq, 1000 FROM seq_1_to_1000;
INSERT INTO b SELECT seq, 1000, 'a\\nb -- c\\n-- Current Database: `x`\\n(1,''2'');',
  UNHEX('00FF5C27') FROM seq_1_to_1000;
CREATE DATABASE keystone; USE keystone;
CREATE TABLE user (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(64) CHARACTER SET utf8mb4);
INSERT INTO user (name) VALUES ('Zoë 🦑'), ('NULL');
CREATE VIEW names AS SELECT name FROM user;
DELIMITER //
CREATE PROCEDURE p() BEGIN
-- Dumping data for table `user`
  SELECT 1;
END//
CREATE TRIGGER t BEFORE INSERT ON user FOR EACH ROW SET NEW.name = UPPER(NEW.name)//
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM user WHERE id < 0//
DELIMITER ;
CREATE USER 'nova'@'%' IDENTIFIED BY 'hush'; GRANT ALL ON nova.* TO 'nova'@'%';
"""


@pytest.fixture
def filled(server):
    server.sql(ACCOUNTS)
    return server


def test_a_record_is_restored_and_compared(filled, agent, key):
    private, recipient = key
    host = agent()
    data, manifest, why = host.record([recipient])
    assert why is None
    assert data.startswith(b"age-encryption.org/v1\n")
    held = manifest["database"]
    assert held["schemas"] == ["keystone", "nova"]
    assert held["heads"] == {"nova": ["c92a3e68beed"]}
    assert held["loose"] == ["nova.loose"]
    assert held["tables"]["nova.b"][0] == 1000
    assert held["tables"]["keystone.user"][0] == 2
    before = filled.all()
    value, why = host.restore(data, manifest, private)
    assert why is None
    assert value["tables"] == len(held["tables"])
    assert filled.all() == before
    assert [p.name for p in filled.folder.iterdir() if "stackrbd-" in p.name] == []
