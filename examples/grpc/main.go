// The grpc example runs gRPC over WebSocket: a server on a walve.Listener and
// a client whose connections come from a walve.Dialer. Neither of the two
// knows that its net.Conn is a WebSocket connection.
//
// Both sides in one program, over ws and then over wss:
//
//	go run ./examples/grpc
//
// As two processes, the server until it is interrupted:
//
//	go run ./examples/grpc -listen ws://127.0.0.1:8080/grpc
//	go run ./examples/grpc -dial ws://127.0.0.1:8080/grpc
//
// With wss the server makes a self-signed certificate and writes it to the
// file of -cert; the client trusts the certificate in that file and no other:
//
//	go run ./examples/grpc -listen wss://127.0.0.1:8443/grpc -cert cert.pem
//	go run ./examples/grpc -dial wss://127.0.0.1:8443/grpc -cert cert.pem
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bodokaiser/walve/examples/internal/program"
)

func main() { program.Main("grpc", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("grpc", flag.ContinueOnError)
	listen := flags.String("listen", "", "serve gRPC at this ws or wss `URL` until interrupted; port 0 picks a free one")
	dial := flags.String("dial", "", "call the server at this ws or wss `URL`")
	cert := flags.String("cert", "", "PEM `file`: -listen writes its certificate to it, -dial trusts only what is in it (default: the system's roots)")
	timeout := flags.Duration("timeout", 30*time.Second, "give up on the calls after this time")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	switch {
	case *timeout <= 0:
		return fmt.Errorf("-timeout %v: must be positive", *timeout)
	case *listen != "" && *dial != "":
		return errors.New("-listen and -dial are two processes: start one with each, or one without either")
	case *listen != "":
		return serve(ctx, *listen, *cert, out)
	}

	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if *dial != "" {
		return call(ctx, *dial, *cert, out)
	}
	if *cert != "" {
		return errors.New("-cert needs -listen or -dial")
	}
	for _, scheme := range []string{"ws", "wss"} {
		if err := both(ctx, scheme+"://127.0.0.1:0/grpc", out); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the server at rawURL until ctx ends.
func serve(ctx context.Context, rawURL, certFile string, out io.Writer) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	if u.Scheme == "wss" && certFile == "" {
		return errors.New("-listen with wss needs -cert, or no client could trust the certificate")
	}
	s, err := startServer(u)
	if err != nil {
		return err
	}
	if u.Scheme == "wss" {
		if err := os.WriteFile(certFile, s.certPEM, 0o644); err != nil {
			s.stop()
			return err
		}
	}
	fmt.Fprintf(out, "listening on %s\n", s.url)
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "stopping")
		return s.stop()
	case err := <-s.failed:
		s.stop()
		return err
	}
}

// call runs the client against rawURL.
func call(ctx context.Context, rawURL, certFile string, out io.Writer) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	var pem []byte
	if certFile != "" {
		if pem, err = os.ReadFile(certFile); err != nil {
			return err
		}
	}
	return runClient(ctx, u, pem, out)
}

// both runs a server at rawURL and a client against it.
func both(ctx context.Context, rawURL string, out io.Writer) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	s, err := startServer(u)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on %s\n", s.url)
	err = runClient(ctx, s.url, s.certPEM, out)
	return errors.Join(err, s.stop())
}

// parseURL reads a ws or wss URL and fills in its port and path.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	port := map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	switch {
	case port == "":
		return nil, fmt.Errorf("URL %q: the scheme must be ws or wss", rawURL)
	case u.Host == "":
		return nil, fmt.Errorf("URL %q: host and port are missing", rawURL)
	case strings.ContainsAny(u.Path, "{} "): // these mean something in a pattern of http.ServeMux
		return nil, fmt.Errorf("URL %q: the path must not contain braces or spaces", rawURL)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}
