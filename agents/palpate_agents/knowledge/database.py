"""The database under the knowledge graph: tables, connections, schema version, and errors that people can act on.

SQLite by default (write-ahead log, so that readers never wait for a writer); any other SQLAlchemy URL works too, with
serializable transactions. The table only ever grows: SQLite triggers refuse deletion and any change but superseding.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import StaticPool

from palpate_agents.errors import DataError
from palpate_agents.knowledge.facts import MAX_KEY

SCHEMA_VERSION = 1
_RETRIES = 20
_T = TypeVar("_T")
APPLICATION_ID = 0x706C7074  # "plpt" in the header of the SQLite file: `file` and this module recognise it


class KnowledgeError(DataError):
    """The knowledge graph cannot be opened, read or written, or was asked for something that it does not hold."""


metadata = sa.MetaData()

_BIG = sa.BigInteger()
SCHEMA = sa.Table(
    "knowledge_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("comment", sa.String(MAX_KEY), nullable=False),
)
FACTS = sa.Table(
    "knowledge_facts",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("fact_id", sa.String(32), nullable=False, unique=True),
    sa.Column("subject", sa.String(MAX_KEY), nullable=False),
    sa.Column("predicate", sa.String(MAX_KEY // 2), nullable=False),
    sa.Column("kind", sa.String(4), nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("valid_from", _BIG, nullable=False),
    sa.Column("valid_to", _BIG, nullable=False),
    sa.Column("learnt_at", _BIG, nullable=False),
    sa.Column("superseded_at", _BIG, nullable=False),
    # `fork_node` of the valid and of the transaction interval; 0 for one that has no end.
    sa.Column("valid_span", _BIG, nullable=False),
    sa.Column("span", _BIG, nullable=False),
    sa.Column("confidence", sa.Double, nullable=False),
    sa.Column("source", sa.String(MAX_KEY), nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("supersedes", sa.String(32), nullable=False),
    sa.CheckConstraint("valid_from < valid_to"),
    sa.CheckConstraint("learnt_at < superseded_at"),
    sa.CheckConstraint("confidence BETWEEN 0 AND 1"),
)
_edge = FACTS.c.kind == "node"
# Each lookup walks one of these backwards from its as-of time and stops at its limit (newest facts first, no
# sorting), or visits the nodes of a `path_to` a time; `query.py` chooses.
_newest = (FACTS.c.learnt_at, FACTS.c.seq)
sa.Index("ix_subject", FACTS.c.subject, FACTS.c.span, *_newest)
sa.Index("ix_valid", FACTS.c.subject, FACTS.c.span, FACTS.c.valid_span, *_newest, FACTS.c.valid_from)
sa.Index("ix_predicate", FACTS.c.subject, FACTS.c.predicate, FACTS.c.span, *_newest)
sa.Index("ix_object", FACTS.c.object, FACTS.c.span, *_newest, sqlite_where=_edge, postgresql_where=_edge)
sa.Index("ix_audit", FACTS.c.subject, *_newest)


def _row(alias: str) -> str:
    """SQL row value of all that never changes in a fact."""
    return ", ".join(f"{alias}.{column.name}" for column in FACTS.c if column.name not in ("superseded_at", "span"))


_TRIGGERS = (
    """CREATE TRIGGER knowledge_no_delete BEFORE DELETE ON knowledge_facts
       BEGIN SELECT RAISE(ABORT, 'facts are never deleted; retract or correct them'); END""",
    f"""CREATE TRIGGER knowledge_no_change BEFORE UPDATE ON knowledge_facts
        WHEN OLD.span <> 0 OR NEW.span = 0 OR ({_row("OLD")}) IS NOT ({_row("NEW")})
        BEGIN SELECT RAISE(ABORT, 'facts are never changed; correct them'); END""",
)


class Database:
    """An open database of facts.

    Args:
        location: file, or SQLAlchemy URL.
        read_only: open an existing database for reading only.
        busy_timeout_s: how long to wait for another writer, seconds.

    Raises:
        KnowledgeError: missing, foreign, newer, damaged, locked or not writable.
    """

    def __init__(self, location: str | Path, *, read_only: bool = False, busy_timeout_s: float = 10.0):
        self.read_only = read_only
        self.busy_timeout_s = busy_timeout_s
        self.url = _url(location)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        file = self.url.database or ":memory:"
        self.path = Path(file) if self.is_sqlite and file != ":memory:" else None
        # For messages: never shows a password.
        self.name = str(self.path) if self.path is not None else self.url.render_as_string(hide_password=True)
        self.engine = self._engine()
        self._writer = self.engine.execution_options(palpate_write=True)
        try:
            self._check_or_create()
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Close every connection; SQLite merges its write-ahead log into the file."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot for the statements inside."""
        with self._explained("read"), self.engine.connect() as connection:
            yield connection

    def transact(self, change: Callable[[Connection], _T]) -> _T:
        """Run a change in one transaction: all of it or, on any error, nothing. May run it again on a server.

        Raises:
            KnowledgeError: read-only, locked for longer than the timeout, disk full, ...
        """
        for _ in range(_RETRIES):
            try:
                with self.writing() as connection:
                    return change(connection)
            except sa.exc.DBAPIError as error:
                if not _is_conflict(error):
                    raise KnowledgeError(f"the knowledge graph {self.name} refused: {error.orig}") from error
        raise KnowledgeError(f"other writers of {self.name} got in the way {_RETRIES} times; retry later")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One attempt at a transaction."""
        if self.read_only:
            raise KnowledgeError(f"the knowledge graph {self.name} was opened read-only; open it for writing")
        with self._explained("write"), self._writer.begin() as connection:
            yield connection

    def _engine(self) -> Engine:
        if not self.is_sqlite:
            try:
                return sa.create_engine(self.url, isolation_level="SERIALIZABLE", pool_pre_ping=True)
            except ModuleNotFoundError as error:
                raise KnowledgeError(
                    f"the database {self.name} needs the Python module {error.name}; install it"
                ) from error
            except sa.exc.SQLAlchemyError as error:
                raise KnowledgeError(f"cannot use the database URL {self.name}: {error}") from error
        connect_args: dict[str, Any] = {"timeout": self.busy_timeout_s, "check_same_thread": False}
        options: dict[str, Any] = {}
        url = self.url
        if self.path is None:
            options["poolclass"] = StaticPool  # a database in memory is one connection
        elif self.read_only:
            query = {"mode": "ro", "uri": "true"}
            if not self.path.with_name(self.path.name + "-wal").exists():
                query["immutable"] = "1"  # nobody is writing: then the folder need not be writable for the log
            url = URL.create("sqlite", database=self.path.resolve().as_uri(), query=query)
        engine = sa.create_engine(url, connect_args=connect_args, **options)
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine

    def _on_connect(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `_on_begin` says, not where the driver guesses
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(self.busy_timeout_s * 1000)}")
        cursor.execute("PRAGMA foreign_keys = ON")
        if not self.read_only:
            cursor.execute("PRAGMA synchronous = FULL")  # what was stored survives a power cut
        cursor.close()

    def _check_or_create(self) -> None:
        if self.path is not None:
            _check_path(self.path, self.read_only)
        with self.reading() as connection:
            names = set(sa.inspect(connection).get_table_names())
            fresh = SCHEMA.name not in names
            if fresh and names and self.is_sqlite:
                raise KnowledgeError(
                    f"{self.name} is a database of something else (tables: {', '.join(sorted(names)[:4])}); "
                    "name another file"
                )
            if fresh and self.read_only:
                raise KnowledgeError(f"{self.name} holds no knowledge graph; open it for writing once to create it")
            if not fresh:
                self._check_version(connection)
        if fresh:
            self._create()

    def _check_version(self, connection: Connection) -> None:
        version = connection.scalar(sa.select(sa.func.max(SCHEMA.c.version)))
        if version is None or version > SCHEMA_VERSION:
            raise KnowledgeError(
                f"{self.name} has knowledge schema version {version}, this palpate reads up to {SCHEMA_VERSION}; "
                "update palpate or name another file"
            )

    def _create(self) -> None:
        if self.path is not None:
            with self._explained("create"), self.engine.connect() as connection:
                connection.get_isolation_level()  # opens the connection
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA journal_mode = WAL").close()  # kept in the file
        self.transact(self._create_tables)

    def _create_tables(self, connection: Connection) -> None:
        if sa.inspect(connection).has_table(SCHEMA.name):
            return self._check_version(connection)  # another process was faster
        metadata.create_all(connection)
        connection.execute(sa.insert(SCHEMA).values(version=SCHEMA_VERSION, comment="palpate knowledge graph"))
        if self.is_sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            for trigger in _TRIGGERS:
                connection.exec_driver_sql(trigger)
        return None

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if isinstance(error, sa.exc.IntegrityError) or _is_conflict(error):
                raise
            raise KnowledgeError(self._explain(doing, error)) from error

    def _explain(self, doing: str, error: sa.exc.DBAPIError) -> str:
        what = f"cannot {doing} the knowledge graph {self.name}"
        detail = str(error.orig)
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is None:
            return f"{what}: {detail}"
        if self.path is not None and (code & 0xFF) in (10, 13):  # SQLITE_IOERR, SQLITE_FULL
            free = shutil.disk_usage(self.path.parent).free / 2**20
            detail += f", {free:.0f} MiB free on its disk"
        ways_out = {
            5: f"another process has held its write lock for more than {self.busy_timeout_s:g} s; stop it or retry",
            6: f"another process has held its write lock for more than {self.busy_timeout_s:g} s; stop it or retry",
            8: "the file or its folder is read-only; change its permissions or name another file",
            10: f"{detail}; what was stored before is intact; check the disk",
            11: f"it is damaged ({detail}); restore a copy, or rebuild it by replaying the bags",
            13: f"{detail}; what was stored before is intact; free some space and retry",
            14: "the file cannot be opened; check its folder and permissions",
            26: "the file is not an SQLite database; name another file",
        }
        return f"{what}: {ways_out.get(code & 0xFF, detail)}"


def _is_conflict(error: sa.exc.DBAPIError) -> bool:
    """True when a server refused a transaction because of another one, so that it may be tried again.

    SQLSTATE 40001 serialization failure, 40P01 deadlock, 23505 unique violation (the other stored the same fact).
    """
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state in ("40001", "40P01", "23505")


def _on_begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a transaction that reads, then writes can never find its snapshot stale.
    write = connection.get_execution_options().get("palpate_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _url(location: str | Path) -> URL:
    if isinstance(location, Path) or "://" not in location:
        return URL.create("sqlite", database=str(location))
    try:
        return sa.make_url(location)
    except sa.exc.ArgumentError as error:
        raise KnowledgeError(f"{location!r} is no database URL; write e.g. sqlite:///knowledge.sqlite") from error


def _check_path(path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise KnowledgeError(f"{path} is a folder; name a file, e.g. {path / 'knowledge.sqlite'}")
    if not path.parent.is_dir():
        raise KnowledgeError(f"the folder {path.parent} for the knowledge graph does not exist; create it first")
    if read_only and not path.exists():
        raise KnowledgeError(f"there is no knowledge graph at {path}; check the path")
