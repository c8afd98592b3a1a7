// The tls example speaks TLS end to end through a WebSocket, whatever proxy
// terminates the outer TLS: nobody in between can read or change what is said.
// Both sides in one program:
//
//	go run ./examples/tls
//
// As two processes, the server until it is interrupted. It makes a certificate
// and writes it to the file of -cert; the client trusts that one and no other:
//
//	go run ./examples/tls -listen 127.0.0.1:8080 -cert cert.pem
//	go run ./examples/tls -dial ws://127.0.0.1:8080/ -cert cert.pem
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/cert"
	"github.com/bodokaiser/walve/examples/internal/program"
)

func main() { program.Main("tls", run) }

// name is whom the certificate is for. It need not be the host of the URL.
const name = "inner.example"

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("tls", flag.ContinueOnError)
	roles := program.RoleFlags(flags)
	certFile := flags.String("cert", "", "PEM `file`: -listen writes its certificate to it, -dial trusts only what is in it")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	var pem []byte
	var server *tls.Config
	switch {
	case *certFile == "" && !roles.Both():
		return errors.New("-listen and -dial need -cert")
	case roles.Client():
		var err error
		if pem, err = os.ReadFile(*certFile); err != nil {
			return err
		}
	default:
		c, certPEM, err := cert.SelfSigned(name)
		if err != nil {
			return err
		}
		server, pem = &tls.Config{Certificates: []tls.Certificate{c}}, certPEM
		if *certFile != "" {
			if err := os.WriteFile(*certFile, pem, 0o644); err != nil {
				return err
			}
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("-cert: the file holds no certificate in PEM")
	}
	return roles.Run(ctx, out,
		func(ctx context.Context, socket net.Listener) error { return serve(ctx, socket, server) },
		func(ctx context.Context, u *url.URL) error {
			return talk(ctx, u, &tls.Config{RootCAs: roots, ServerName: name}, out)
		})
}

// serve answers every line in capitals.
func serve(ctx context.Context, socket net.Listener, config *tls.Config) error {
	inner := walve.NewListener(socket)   // WebSocket, and
	ln := tls.NewListener(inner, config) // TLS in it
	return program.ServeConns(ctx, inner, ln, func(c net.Conn) {
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			if _, err := fmt.Fprintln(c, strings.ToUpper(lines.Text())); err != nil {
				return
			}
		}
	})
}

func talk(ctx context.Context, u *url.URL, config *tls.Config, out io.Writer) error {
	conn, err := walve.Dial(ctx, u.String())
	if err != nil {
		return err
	}
	c := tls.Client(conn, config)
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	state := c.ConnectionState()
	fmt.Fprintf(out, "through %s: %s, %s, the other end is %s\n",
		u, tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.PeerCertificates[0].DNSNames[1])
	answers := bufio.NewScanner(c)
	for _, line := range []string{"hello", "good bye"} {
		if _, err := fmt.Fprintln(c, line); err != nil {
			return err
		}
		if !answers.Scan() {
			return fmt.Errorf("no answer to %q: %w", line, errors.Join(answers.Err(), io.ErrUnexpectedEOF))
		}
		fmt.Fprintf(out, "said %q, heard %q\n", line, answers.Text())
	}
	// Half-close goes through both layers: the server sees the end and ends.
	if err := c.CloseWrite(); err != nil {
		return err
	}
	if answers.Scan() || answers.Err() != nil {
		return fmt.Errorf("instead of the end: %q, %v", answers.Text(), answers.Err())
	}
	fmt.Fprintln(out, "closed on both sides")
	return nil
}
