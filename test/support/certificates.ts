/**
 * Throwaway certificates, made by OpenSSL: two authorities, and what the first one has signed. Gone
 * after the test run.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programs } from "./programs.js";

/** A file, and what is in it. */
export interface Pem {
  readonly file: string;
  readonly text: string;
}

export interface Certificates {
  /** Signed all others but `stranger`. */
  readonly authority: Pem;
  /** An authority that signed nothing here. */
  readonly stranger: Pem;
  /** For 127.0.0.1. */
  readonly server: { readonly cert: Pem; readonly key: Pem };
  /** For another host. */
  readonly elsewhere: { readonly cert: Pem; readonly key: Pem };
  /** Of a client. */
  readonly client: { readonly cert: Pem; readonly key: Pem };
  remove(): void;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "certificates-"));
  const pem = (name: string): Pem => {
    const file = join(folder, name);
    return { file, text: readFileSync(file, "utf8") };
  };
  const make = (name: string, subject: string, ...more: readonly string[]) => {
    const [cert, key] = [`${name}.pem`, `${name}.key`];
    execFileSync(
      programs.openssl as string,
      ["req", "-x509", ...KEY, "-subj", `/CN=${subject}`, "-out", cert, "-keyout", key, ...more],
      { cwd: folder, stdio: "pipe" },
    );
    return { cert: pem(cert), key: pem(key) };
  };
  const authority = make("authority", "an authority");
  const signed = ["-CA", "authority.pem", "-CAkey", "authority.key", "-addext", "basicConstraints=CA:FALSE"];
  return {
    authority: authority.cert,
    stranger: make("stranger", "another authority").cert,
    server: make("server", "an engine", ...signed, "-addext", "subjectAltName=IP:127.0.0.1"),
    elsewhere: make("elsewhere", "an engine", ...signed, "-addext", "subjectAltName=DNS:elsewhere.example"),
    client: make("client", "a node", ...signed),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
