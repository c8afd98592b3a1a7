package walve

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// userAgent is sent unless Header has another. RFC 9110, 10.1.5: "A user agent
// SHOULD send a User-Agent header field in each request".
const userAgent = "walve"

// A target is what a URL says.
type target struct {
	secure        bool     // TLS
	network, addr string   // where to connect to
	hostname      string   // for TLS, without port
	host          string   // for the Host header field
	url           *url.URL // what it is in http or https, without user and password
	user          *url.Userinfo
}

// parseTarget parses a URL as Dialer documents it. Its errors do not repeat
// raw, which may have a password.
func parseTarget(raw string) (*target, error) {
	fail := func(reason string) (*target, error) {
		return nil, errors.New("walve: URL: " + reason)
	}
	// RFC 6455, 3: "Fragment identifiers are meaningless in the context of
	// WebSocket URIs and MUST NOT be used on these URIs."
	if strings.Contains(raw, "#") {
		return fail("it has a fragment")
	}
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && !strings.Contains(raw, "@") {
			return fail(ue.Err.Error())
		}
		return fail("it is malformed")
	}
	t := &target{network: "tcp", user: u.User}
	overUnix := false
	switch u.Scheme {
	case "ws", "http":
	case "wss", "https":
		t.secure = true
	case "ws+unix":
		overUnix = true
	case "wss+unix":
		overUnix, t.secure = true, true
	default:
		return fail(fmt.Sprintf("its scheme is %q, not ws, wss, http, https, ws+unix or wss+unix", u.Scheme))
	}
	if u.Opaque != "" {
		return fail("there is no // behind its scheme")
	}
	t.url = &url.URL{Scheme: "http", Path: u.Path, RawPath: u.RawPath, RawQuery: escapeQuery(u.RawQuery), ForceQuery: u.ForceQuery}
	port := "80"
	if t.secure {
		t.url.Scheme, port = "https", "443"
	}
	if overUnix {
		if u.Host != "" {
			return fail("it has a host and a unix socket: write three slashes")
		}
		// As in Node's ws: the socket's path, a colon, the resource's path.
		socket, path, _ := strings.Cut(u.EscapedPath(), ":")
		t.network = "unix"
		t.hostname, t.host = "localhost", "localhost"
		if t.addr, err = url.PathUnescape(socket); err != nil || t.addr == "" {
			return fail("it has no path of a unix socket")
		}
		if path != "" && path[0] != '/' {
			path = "/" + path
		}
		t.url.Path, _ = url.PathUnescape(path) // a part of EscapedPath
		t.url.RawPath = path
		t.url.Host = t.host
		return t, nil
	}
	if t.hostname = u.Hostname(); t.hostname == "" {
		return fail("it has no host")
	}
	if !ascii(t.hostname) {
		if t.hostname, err = idna.Lookup.ToASCII(t.hostname); err != nil {
			return fail("its host is not a domain name")
		}
	}
	t.host = t.hostname
	if strings.Contains(t.host, ":") {
		// A zone says something to this machine only.
		zoneless, _, _ := strings.Cut(t.host, "%")
		t.host = "[" + zoneless + "]"
	}
	// RFC 6455, 4.1, item 4: the port is there "if not using the default port".
	if p := u.Port(); p != "" && p != port {
		port = p
		t.host += ":" + p
	}
	if !httpguts.ValidHostHeader(t.host) {
		return fail("its host is not valid")
	}
	t.addr = net.JoinHostPort(t.hostname, port)
	t.hostname, _, _ = strings.Cut(t.hostname, "%")
	t.url.Host = t.host
	return t, nil
}

// escapeQuery escapes what would end the request line early. A url.URL keeps
// its query as it came.
func escapeQuery(q string) string {
	clean := true
	for i := range len(q) {
		clean = clean && ' ' < q[i] && q[i] < 0x7f
	}
	if clean {
		return q
	}
	var b []byte
	for i := range len(q) {
		if ' ' < q[i] && q[i] < 0x7f {
			b = append(b, q[i])
		} else {
			b = fmt.Appendf(b, "%%%02X", q[i])
		}
	}
	return string(b)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// A request is the client's part of the opening handshake.
type request struct {
	*http.Request        // as it is sent
	accept        string // what the server has to answer
	fields        []field
}

// A field of a request: its name, as http.Header has it and as it is sent.
// (Headers are canonical, which http.CanonicalHeaderKey allocates for.)
type field struct{ key, name string }

// newRequest makes the request for t: RFC 6455, 4.1.
func (d *Dialer) newRequest(t *target) (*request, error) {
	if !validSubprotocols(d.Subprotocols) {
		return nil, errors.New("walve: Subprotocols must be tokens and different")
	}
	host := t.host
	header := make(http.Header, len(d.Header)+8)
	for name, values := range d.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("walve: Header: %q is not a name of a header field", name)
		}
		if ownHeader(name) {
			return nil, fmt.Errorf("walve: Header: %s belongs to the handshake", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("walve: Header: the value of %s is not valid", name)
			}
		}
		name = http.CanonicalHeaderKey(name)
		if name == "Host" {
			if len(values) != 1 || values[0] == "" || !httpguts.ValidHostHeader(values[0]) {
				return nil, errors.New("walve: Header: Host is not one valid host")
			}
			host = values[0]
			continue
		}
		header[name] = append(header[name], values...)
	}

	// "The value of this header field MUST be a nonce consisting of a randomly
	// selected 16-byte value that has been base64-encoded. The nonce MUST be
	// selected randomly for each connection."
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])

	r := &request{accept: string(appendAccept(nil, key))}
	r.Request = &http.Request{
		Method: http.MethodGet, URL: t.url, Host: host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header,
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{userAgent}
	}
	if _, ok := header["Authorization"]; !ok && t.user != nil {
		password, _ := t.user.Password()
		r.SetBasicAuth(t.user.Username(), password)
	}
	if d.Jar != nil {
		// RFC 6265, 5.4: not more than one Cookie header field.
		if own := header["Cookie"]; len(own) > 1 {
			header["Cookie"] = []string{strings.Join(own, "; ")}
		}
		for _, c := range d.Jar.Cookies(t.url) {
			r.AddCookie(c)
		}
	}
	r.fields = make([]field, 0, len(header)+6)
	for key := range header {
		r.fields = append(r.fields, field{key, key})
	}
	slices.SortFunc(r.fields, func(a, b field) int { return strings.Compare(a.key, b.key) })

	// The handshake's own, which appendTo sends spelled as in the RFC.
	r.own(field{"Upgrade", "Upgrade"}, "websocket")
	r.own(field{"Connection", "Connection"}, "Upgrade")
	r.own(field{"Sec-Websocket-Key", "Sec-WebSocket-Key"}, key)
	r.own(field{"Sec-Websocket-Version", "Sec-WebSocket-Version"}, protocolVersion)
	if len(d.Subprotocols) > 0 {
		r.own(field{"Sec-Websocket-Protocol", "Sec-WebSocket-Protocol"}, strings.Join(d.Subprotocols, ", "))
	}
	r.own(field{"Sec-Websocket-Extensions", "Sec-WebSocket-Extensions"}, string(appendExtensions(nil, clientOffers(d.Compression)...)))
	return r, nil
}

func (r *request) own(f field, value string) {
	r.Header[f.key] = []string{value}
	r.fields = append(r.fields, f)
}

// appendTo appends the request as it goes over the wire.
func (r *request) appendTo(b []byte) []byte {
	b = append(append(append(b, "GET "...), r.URL.RequestURI()...), " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", r.Host)
	for _, f := range r.fields {
		values := r.Header[f.key]
		if f.name == "User-Agent" && len(values) > 0 && values[0] == "" {
			continue
		}
		for _, v := range values {
			b = appendField(b, f.name, v)
		}
	}
	return append(b, "\r\n"...)
}
