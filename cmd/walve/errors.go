package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"unicode"

	"github.com/bodokaiser/walve"
)

// A usageError is about what stands on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// A connectError says that there is no connection.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// An advised error brings along what to try.
type advised struct {
	error
	advice string
}

func (e *advised) Unwrap() error { return e.error }

// exitCode says what the process ends with, see usage.
func exitCode(err error) int {
	var (
		bad     *usageError
		refused *walve.HandshakeError
		connect *connectError
		stopped stopSignal
	)
	switch {
	case errors.As(err, &stopped):
		return stopped.exitCode()
	case errors.As(err, &bad):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &connect):
		return exitConnect
	}
	return exitFailed
}

// isQuiet reports whether nothing needs to be said: the user has pressed ^C, or
// the reader of a pipe had enough.
func isQuiet(err error) bool {
	var path *fs.PathError
	var stopped stopSignal
	return errors.As(err, &stopped) || errors.As(err, &path) && errors.Is(err, syscall.EPIPE)
}

// message is what err says, and what the server said if it refused.
func message(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar // of a certificate, say: it must not control the terminal
		}
		return r
	}, err.Error())
	var refused *walve.HandshakeError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.Body != nil {
		// Short answers say more than their status, pages for people do not.
		b, _ := io.ReadAll(io.LimitReader(refused.Response.Body, 1024))
		said := strings.TrimSpace(string(b))
		if said != "" && len(said) <= 200 && !strings.ContainsAny(said, "<\n\x1b") {
			text += fmt.Sprintf(" (the server says: %q)", said)
		}
	}
	return text
}

// hint says what a user may try, or nothing.
func hint(err error) string {
	var advice *advised
	if errors.As(err, &advice) {
		return advice.advice
	}
	var bad *usageError
	if errors.As(err, &bad) {
		return "-h, which explains all flags and arguments"
	}
	var refused *walve.HandshakeError
	if errors.As(err, &refused) {
		return hintRefused(refused)
	}
	for _, h := range []func(error) string{hintTLS, hintNetwork, hintEnd} {
		if text := h(err); text != "" {
			return text
		}
	}
	return ""
}

func hintRefused(e *walve.HandshakeError) string {
	switch code := e.StatusCode; {
	case code == http.StatusSwitchingProtocols:
		return "another URL, or without what stands between: something there does not speak WebSocket as RFC 6455 says"
	case code == http.StatusUnauthorized:
		return "-auth-file FILE with a token or user:password that the server knows"
	case code == http.StatusForbidden:
		return "-header 'Origin: https://...' with an origin that the server allows, or other credentials"
	case code == http.StatusNotFound:
		return "another path: the server has nothing at this one"
	case code == http.StatusProxyAuthRequired:
		return "-proxy http://user:password@host:port"
	case code == http.StatusBadRequest:
		return "wss:// in place of ws://, if the port is one for TLS"
	case code == http.StatusBadGateway || code == http.StatusGatewayTimeout:
		return "to start what the server forwards to: it cannot reach that"
	case code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests:
		return "again later: the server is overloaded or shuts down"
	case code/100 == 3 && e.Response != nil && e.Response.Header.Get("Location") != "":
		return fmt.Sprintf("the URL that the server redirects to: %q", e.Response.Header.Get("Location"))
	case code/100 == 2 || code == http.StatusUpgradeRequired || code == http.StatusMethodNotAllowed:
		return "another path, or a proxy on the way that passes the header fields Upgrade and Connection on: this was an ordinary web page's answer"
	case code == 0:
		return "another port, or wss:// in place of ws:// (or the other way round): the answer is not HTTP"
	}
	return ""
}

func hintTLS(err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		notTLS   tls.RecordHeaderError
		alertErr tls.AlertError
	)
	switch {
	case errors.As(err, &unknown):
		return "-ca FILE with the certificate (PEM) of the authority that signed the server's"
	case errors.As(err, &name):
		return "a host name that is in the server's certificate, or -server-name NAME"
	case errors.As(err, &invalid):
		return "to renew the server's certificate, and to check this machine's clock"
	case errors.As(err, &notTLS):
		return "ws:// in place of wss://, or another port: the server does not speak TLS there"
	case errors.As(err, &alertErr):
		return "-cert FILE and -key FILE, if the server asks clients for a certificate"
	}
	return ""
}

func hintNetwork(err error) string {
	var dns *net.DNSError
	var ne net.Error
	var op *net.OpError
	listening := errors.As(err, &op) && op.Op == "listen"
	switch {
	case errors.As(err, &dns):
		return "to check the spelling of the host's name, or -proxy if only a proxy can resolve it"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "to start the server, or another port: nothing listens at this one"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another port, or to end the program that listens on this one"
	case errors.Is(err, syscall.EACCES) && listening:
		return "a port over 1023: those below need privileges"
	case errors.Is(err, syscall.EADDRNOTAVAIL) && listening:
		return "an address that this machine has, or none (ws://:8080) for all of them"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout() && errors.As(err, new(*connectError)):
		return "-timeout with more time, or -proxy if a firewall drops what goes out directly"
	case errors.Is(err, fs.ErrNotExist) && !listening:
		return "to check the path: there is no such file"
	}
	return ""
}

// hintEnd is about connections that were there.
func hintEnd(err error) string {
	var closed *walve.CloseError
	var ne net.Error
	switch {
	case errors.As(err, &closed):
		switch closed.Code {
		case walve.StatusGoingAway, walve.StatusServiceRestart, walve.StatusTryAgainLater:
			return "again in a while: the server shuts down or restarts"
		case walve.StatusPolicyViolation:
			return "other credentials, or what the server's documentation asks for"
		case walve.StatusMessageTooBig:
			return "shorter messages"
		case walve.StatusBadGateway:
			return "a look at the log of what the server forwards to: that ended the connection with an error"
		}
	case errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(*connectError)):
		return "-keepalive with half the idle timeout of the proxies on the way, and a look at the server's log: the connection was cut"
	case errors.As(err, &ne) && ne.Timeout() && !errors.Is(err, os.ErrDeadlineExceeded):
		return "a look at the network: the peer no longer answers Pings"
	}
	return ""
}
