/** What the other end, or the library, said about a certificate, in words that name the remedy (L-10, T-15). */
const tlsFailures: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names; make one with: trivet cert issue NODE --host NAME",
  CERT_HAS_EXPIRED: "its certificate has ended; renew it there with: trivet cert issue NODE",
  CERT_NOT_YET_VALID: "its certificate is not valid yet: look at the clocks of both machines",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by itself, not by the authority in CA_FILE",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate comes from another authority than the one in CA_FILE",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate comes from another authority than the one in CA_FILE",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate comes from another authority than the one in CA_FILE",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate comes from another authority than the one in CA_FILE",
  CERT_SIGNATURE_FAILURE: "its certificate comes from another authority than the one in CA_FILE",
  INVALID_PURPOSE: "its certificate may not be used by a server (extendedKeyUsage)",
  ERR_SSL_WRONG_VERSION_NUMBER: "it speaks plain HTTP where TLS is wanted: set TLS_MODE there, too",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it speaks plain HTTP where TLS is wanted: set TLS_MODE there, too",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "it does not know the authority of this node's certificate (its CA_FILE)",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "it speaks no TLS 1.3",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "it speaks no TLS 1.3",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "it wants a certificate, and this node has none (TLS_MODE, CERT_FILE)",
};

/** What failed while it was being written comes as EPROTO, with the library's words in its message. */
function codeOf({ code, message }: NodeJS.ErrnoException): string {
  const words = code === "EPROTO" ? /:SSL routines:[^:]*:([^:]+):/.exec(message)?.[1] : undefined;
  return words === undefined ? (code ?? "") : `ERR_SSL_${words.toUpperCase().replaceAll(" ", "_")}`;
}

/** Why a node could not be dialled, for the log of this one. */
export function dialFailure(host: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return `${host} refused the connection: nothing listens there (ECONNREFUSED)`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${host}: no such host (${error.code})`;
    case "ECONNRESET":
      return `${host} closed the connection during the handshake (ECONNRESET)`;
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `${host} cannot be reached (${error.code})`;
    default: {
      const code = codeOf(error);
      const known = tlsFailures[code];
      if (known === undefined) return `${host}: ${error.message}`;
      // The names that were found and expected.
      const names =
        error.code === "ERR_TLS_CERT_ALTNAME_INVALID" ? ` (${(error as { readonly reason?: string }).reason ?? error.message})` : "";
      return `${host}: ${known}${names} (${code})`;
    }
  }
}
