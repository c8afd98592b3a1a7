// The http example tunnels HTTP through a WebSocket: an http.Server on a
// walve.Listener and an http.Client whose connections come from a walve.Dialer.
// Both sides in one program:
//
//	go run ./examples/http
//
// As two processes, the server until it is interrupted:
//
//	go run ./examples/http -listen 127.0.0.1:8080
//	go run ./examples/http -dial ws://127.0.0.1:8080/
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/bodokaiser/walve/examples/internal/program"
)

func main() { program.Main("http", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	roles := program.RoleFlags(flags)
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	return roles.Run(ctx, out, serve, func(ctx context.Context, u *url.URL) error { return request(ctx, u, out) })
}

// serve serves HTTP inside the WebSockets that come in on the socket.
func serve(ctx context.Context, socket net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s to %s", r.Host, r.RemoteAddr)
	})
	mux.HandleFunc("POST /digest", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%d bytes, SHA-256 %x", n, hash.Sum(nil))
	})
	// Every line is answered before the next one is sent.
	mux.HandleFunc("POST /lines", func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); rc.Flush() {
			fmt.Fprintln(w, len(lines.Text()))
		}
	})
	return page.ServeOn(ctx, walve.NewListener(socket), mux)
}

// request makes requests to a host that only the server knows.
func request(ctx context.Context, u *url.URL, out io.Writer) error {
	d := &walve.Dialer{URL: u.String()}
	var dialled atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled.Add(1)
		return d.DialContext(ctx, network, addr) // to the URL, whatever addr says
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	text, err := do(ctx, client, "GET", "/hello", nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "GET  /hello ", text)

	const size = 8 << 20
	hash := sha256.New()
	text, err = do(ctx, client, "POST", "/digest", io.TeeReader(io.LimitReader(rand.Reader, size), hash))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%d bytes, SHA-256 %x", size, hash.Sum(nil)); text != want {
		return fmt.Errorf("the server got %s, want %s", text, want)
	}
	fmt.Fprintln(out, "POST /digest", text[:32]+"... on both sides")

	if err := lines(ctx, client, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "all through %s, which was dialled %d time(s)\n", u, dialled.Load())
	return nil
}

func do(ctx context.Context, client *http.Client, method, path string, body io.Reader) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://inside.example"+path, body)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return string(text), err
}

// lines has request and response go on at the same time.
func lines(ctx context.Context, client *http.Client, out io.Writer) error {
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://inside.example/lines", r)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for _, line := range []string{"one", "three", "seventeen"} {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
		var n int
		if _, err := fmt.Fscanln(answers, &n); err != nil {
			return err
		}
		fmt.Fprintf(out, "POST /lines  sent %q, got its length %d\n", line, n)
	}
	w.Close()
	_, err = io.Copy(io.Discard, answers)
	return err
}
