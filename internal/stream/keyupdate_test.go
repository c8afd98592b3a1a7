package stream_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
)

// A peer that asks for a KeyUpdate and does not read must not stop Read
// (RFC 8446, 4.6.3: the answer is sent before the next application data).
// crypto/tls never asks for one, openssl does on the command K.
func TestKeyUpdate(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			cmd := exec.Command(openssl, "s_client", "-tls1_3", "-connect", ln.Addr().String())
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = cmd.Stdout // where it prints what became of a command
			if err := cmd.Start(); err != nil {
				t.Skip(err)
			}
			defer cmd.Wait()
			defer stdin.Close()
			defer cmd.Process.Kill()
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			a, b := memconn.Pipe() // so that the way out can be blocked
			defer b.Close()
			go io.Copy(b, c)
			go io.Copy(c, b)

			server := tls.Server(row.over(a), config(tls.VersionTLS13))
			if err := server.Handshake(); err != nil {
				t.Fatal(err)
			}
			s := stream.New(server)
			defer s.Abort()
			out := bufio.NewScanner(stdout)
			expect := func(line string) {
				t.Helper()
				for out.Scan() {
					if strings.HasSuffix(out.Text(), line) {
						return
					}
				}
				t.Fatalf("openssl did not print %q", line)
			}
			// s_client reads commands only once it is done with the handshake.
			s.Write([]byte("ready\n"))
			expect("ready")

			if row.name == "transport" { // a pump has nothing below crypto/tls
				a.SetWriteLimit(0)
			}
			for _, line := range []string{"K\n", "hello\n"} {
				stdin.Write([]byte(line))
				if line == "K\n" {
					// It takes what it reads at once as one line.
					expect("KEYUPDATE")
				}
			}
			r := bufio.NewReader(s)
			if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
				t.Fatalf("read %q, %v", line, err)
			}
			a.SetWriteLimit(-1)
			s.Write([]byte("still here\n"))
			expect("still here")

			// The answer goes behind records that are leaving together.
			long := strings.Repeat("x", 40_000)
			a.SetWriteLimit(0) // within a record openssl would not look for commands
			written := make(chan error, 1)
			go func() {
				_, err := s.Write([]byte(long + "\n"))
				written <- err
			}()
			stdin.Write([]byte("K\n"))
			expect("KEYUPDATE")
			stdin.Write([]byte("hello again\n"))
			read := make(chan string, 1)
			go func() {
				line, _ := r.ReadString('\n')
				read <- line
			}()
			a.SetWriteLimit(-1)
			expect(long)
			if line, err := <-read, <-written; line != "hello again\n" || err != nil {
				t.Fatalf("read %q; Write: %v", line, err)
			}
			s.Write([]byte("still there\n"))
			expect("still there")
		})
	}
}
