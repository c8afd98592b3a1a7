package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// A credential is a line of an -auth-file: a bearer token, or user:password.
// A token has no colon (RFC 6750, 2.1), user:password always does (RFC 7617, 2).
type credential struct{ secret string }

func (c credential) isBasic() bool { return strings.Contains(c.secret, ":") }

// authorization is the field's value that a client sends.
func (c credential) authorization() string {
	if c.isBasic() {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.secret))
	}
	return "Bearer " + c.secret
}

// readAuthFile returns the lines of a file; there is at least one. Empty lines
// and those that begin with # do not count.
func readAuthFile(name string) ([]credential, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []credential
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		c := credential{line}
		if !c.isBasic() && strings.ContainsAny(line, " \t") {
			return nil, usagef("%s, line %d: a token has no spaces, and Basic is user:password", name, n)
		}
		list = append(list, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(list) == 0 {
		return nil, usagef("%s has neither a token nor user:password in it", name)
	}
	return list, nil
}

// An authenticator knows who may come in; nil lets everybody in.
type authenticator struct {
	// Hashes are of one length: comparing them takes the same time whatever
	// the length of a secret, and wherever it differs.
	bearer, basic [][sha256.Size]byte
}

func newAuthenticator(list []credential) *authenticator {
	a := new(authenticator)
	for _, c := range list {
		hash := sha256.Sum256([]byte(c.secret))
		if c.isBasic() {
			a.basic = append(a.basic, hash)
		} else {
			a.bearer = append(a.bearer, hash)
		}
	}
	return a
}

// allows reports whether r brings one of the credentials.
func (a *authenticator) allows(r *http.Request) bool {
	if a == nil {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given = strings.TrimSpace(given)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return oneOf(a.bearer, []byte(given))
	case strings.EqualFold(scheme, "Basic"):
		secret, err := base64.StdEncoding.DecodeString(given)
		return err == nil && oneOf(a.basic, secret)
	}
	return false
}

// oneOf compares with all, so that the time does not tell which one is close.
func oneOf(hashes [][sha256.Size]byte, secret []byte) bool {
	hash := sha256.Sum256(secret)
	found := 0
	for i := range hashes {
		found |= subtle.ConstantTimeCompare(hashes[i][:], hash[:])
	}
	return found == 1
}

// challenge answers a request that brings none of them. RFC 9110, 15.5.2: "The
// server generating a 401 response MUST send a WWW-Authenticate header field".
func (a *authenticator) challenge(w http.ResponseWriter) {
	if len(a.basic) > 0 {
		w.Header().Add("WWW-Authenticate", `Basic realm="walve", charset="UTF-8"`)
	}
	if len(a.bearer) > 0 {
		w.Header().Add("WWW-Authenticate", `Bearer realm="walve"`)
	}
	http.Error(w, "a token or password is needed", http.StatusUnauthorized)
}
