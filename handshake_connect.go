package walve

import "net/http"

// isExtendedConnect reports whether r asks for an upgrade as RFC 8441, 4, has
// it: "The :method pseudo-header field value is CONNECT [and] the :protocol
// pseudo-header field [...] is websocket".
func isExtendedConnect(r *http.Request) bool {
	if r.ProtoMajor != 2 || r.Method != http.MethodConnect {
		return false
	}
	protocol := r.Header[":protocol"]
	return len(protocol) == 1 && equalFold(protocol[0], "websocket")
}
