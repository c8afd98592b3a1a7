package walve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/rpc"

	"github.com/bodokaiser/walve"
)

// exampleTLS gives the two ends of a TLS connection a certificate for
// example.com.
func exampleTLS() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS, s.Client().Transport.(*http.Transport).TLSClientConfig
}

// TLS end to end: what terminates the outer TLS sees only ciphertext. The
// client's Dialer is a dial function for net/http here, as it is for any
// program that takes one.
func ExampleListen() {
	serverTLS, clientTLS := exampleTLS()
	ln, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go http.Serve(tls.NewListener(ln, serverTLS), http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s says hello over %s", r.Host, tls.VersionName(r.TLS.Version))
		}))

	d := &walve.Dialer{URL: "ws://" + ln.Addr().String()}
	client := &http.Client{Transport: &http.Transport{
		DialContext:     d.DialContext,
		TLSClientConfig: clientTLS,
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: example.com says hello over TLS 1.3
}

// Messages: an echo server in a handler of net/http, and its client.
func ExampleUpgrade() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := walve.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer c.Close()
		for {
			op, msg, err := c.ReadMessage()
			if err != nil {
				return
			}
			if err := c.WriteMessage(op, msg); err != nil {
				return
			}
		}
	}))
	defer server.Close()

	c, err := walve.Dial(context.Background(), server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(walve.OpText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	op, msg, err := c.ReadMessage()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(op, string(msg))
	// Output: text hello
}

// Frames, on any io.Reader and io.Writer: a relay that changes no bit.
func ExampleFrameReader() {
	var src, dst bytes.Buffer // in a relay: two connections
	w := walve.NewFrameWriter(&src)
	key := [4]byte{1, 2, 3, 4}
	w.WriteFrame(walve.Header{Opcode: walve.OpText, Masked: true, MaskKey: key}, []byte("hel"))
	w.WriteFrame(walve.Header{Opcode: walve.OpPing, Fin: true, Masked: true, MaskKey: key}, nil)
	w.WriteFrame(walve.Header{Fin: true, Masked: true, MaskKey: key}, []byte("lo"))
	sent := bytes.Clone(src.Bytes())

	fr, fw := walve.NewFrameReader(&src), walve.NewFrameWriter(&dst)
	for {
		h, err := fr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(h.Opcode, h.Length, h.Fin)
		if err := fw.WriteHeader(h); err != nil {
			log.Fatal(err)
		}
		if _, err := io.Copy(fw, fr); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(bytes.Equal(dst.Bytes(), sent))
	// Output:
	// text 3 false
	// ping 0 true
	// continuation 2 true
	// true
}

// Arith is a service for net/rpc.
type Arith struct{}

func (Arith) Double(n int, reply *int) error {
	*reply = 2 * n
	return nil
}

// A Listener mounted beside other handlers is a net.Listener for whatever
// serves one, here net/rpc.
func ExampleListener() {
	var ln walve.Listener
	mux := http.NewServeMux()
	mux.Handle("/rpc", &ln)
	server := httptest.NewServer(mux)
	defer server.Close()

	services := rpc.NewServer()
	if err := services.Register(Arith{}); err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // net.ErrClosed
			}
			go services.ServeConn(conn)
		}
	}()
	defer ln.Close()

	conn, err := walve.Dial(context.Background(), server.URL+"/rpc")
	if err != nil {
		log.Fatal(err)
	}
	client := rpc.NewClient(conn)
	defer client.Close()
	var doubled int
	if err := client.Call("Arith.Double", 21, &doubled); err != nil {
		log.Fatal(err)
	}
	fmt.Println(doubled)
	// Output: 42
}
