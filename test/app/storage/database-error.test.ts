import { expect, test } from "vitest";
import {
  isMistake,
  leavesConnectionFit,
  OutcomeUnknown,
  StatementTooLarge,
  wasNotDone,
} from "../../../src/app/storage/database-error.js";

const mysql = (errno: number) => Object.assign(new Error("e"), { errno, code: "ER_SOMETHING" });
const sqlite = (code: string) => Object.assign(new Error("e"), { code });

test.each([
  ["a deadlock", mysql(1213)],
  ["a lock that another has", mysql(1205)],
  ["a row that has changed since the snapshot", mysql(1020)],
  ["a locked file", sqlite("SQLITE_BUSY")],
  ["a snapshot out of date", sqlite("SQLITE_BUSY_SNAPSHOT")],
])("%s: the connection is fit, and asking again may help", (_what, error) => {
  expect([leavesConnectionFit(error), wasNotDone(error), isMistake(error)]).toEqual([true, true, false]);
});

test.each([1290, 1792, 1836, 3989, 1047])("a server that does not write (%i): another may", (errno) => {
  expect([leavesConnectionFit(mysql(errno)), wasNotDone(mysql(errno))]).toEqual([false, true]);
});

test.each([
  ...[1053, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 3100, 3169, 4031, 9999].map(mysql),
  ...["ECONNRESET", "EPIPE", "ETIMEDOUT", "PROTOCOL_CONNECTION_LOST", "PROTOCOL_PACKETS_OUT_OF_ORDER"].map(
    sqlite,
  ),
  ...[
    "SQLITE_IOERR_WRITE",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_READONLY_DBMOVED",
    "SQLITE_CANTOPEN",
  ].map(sqlite),
  new TypeError("The database connection is not open"),
  undefined,
])("after %o the connection is not used again, and nothing is taken for undone", (error) => {
  expect([leavesConnectionFit(error), wasNotDone(error), isMistake(error)]).toEqual([false, false, false]);
});

test.each([
  ["a duplicate", mysql(1062)],
  ["a constraint of SQLite", sqlite("SQLITE_CONSTRAINT_UNIQUE")],
  ["a statement above the packet", new StatementTooLarge(2, 1)],
])("%s: the connection is fit, and asking again gives the same", (_what, error) => {
  expect([leavesConnectionFit(error), wasNotDone(error), isMistake(error)]).toEqual([true, false, true]);
});

test("errors are classified by the driver's, an unknown commit never as undone", () => {
  const wrapped = Object.assign(new Error("query failed"), { driverError: mysql(1213) });
  expect(wasNotDone(wrapped)).toBe(true);
  expect(wasNotDone(new OutcomeUnknown(wrapped))).toBe(false);
});
