package peers_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
	"golang.org/x/crypto/ssh"
)

// sshClient connects to a server behind ln. As in the tests of x/crypto/ssh the
// connection is dialled before anything accepts.
func sshClient(t testing.TB, ln *walve.Listener, d *walve.Dialer) *ssh.Client {
	t.Helper()
	key := sshKey(t)
	c := dial(t, d)
	s := accept(t, ln)
	var served sync.WaitGroup
	served.Go(func() { serveSSH(t, s, key) })
	conn, channels, requests, err := ssh.NewClientConn(c, "walve:22", &ssh.ClientConfig{
		User:            "me",
		Auth:            []ssh.AuthMethod{ssh.Password("secret")},
		HostKeyCallback: ssh.FixedHostKey(key.PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(conn, channels, requests)
	t.Cleanup(func() { client.Close(); served.Wait() })
	return client
}

func newSession(t testing.TB, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSSHSessions(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		client := sshClient(t, ln, d)
		if err := newSession(t, client).Run("exit 0"); err != nil {
			t.Error(err)
		}
		var exit *ssh.ExitError
		if err := newSession(t, client).Run("exit 42"); !errors.As(err, &exit) || exit.ExitStatus() != 42 {
			t.Errorf("exit 42: %v", err)
		}
		s := newSession(t, client)
		var stderr bytes.Buffer
		s.Stderr = &stderr
		if err := s.Run("missing"); !errors.As(err, &exit) || exit.ExitStatus() != 127 || stderr.Len() == 0 {
			t.Errorf("%v, stderr %q", err, &stderr)
		}
		var sessions sync.WaitGroup
		for range 8 {
			s := newSession(t, client)
			sessions.Go(func() {
				in := pattern(500_000)
				s.Stdin = bytes.NewReader(in)
				if out, err := s.Output("cat"); err != nil || !bytes.Equal(out, in) {
					t.Errorf("cat: %d bytes, %v", len(out), err)
				}
			})
		}
		sessions.Wait()
	})
}

// echoTCP is a server on a socket that returns what it is sent.
func echoTCP(t testing.TB) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	return ln.Addr()
}

func TestSSHForwarding(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		client := sshClient(t, ln, d)
		t.Run("local", func(t *testing.T) {
			c, err := client.Dial("tcp", echoTCP(t).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			exchange(t, c, pattern(1<<20))
		})
		t.Run("local, refused", func(t *testing.T) {
			var refused *ssh.OpenChannelError
			if _, err := client.Dial("tcp", refusingAddr(t).String()); !errors.As(err, &refused) {
				t.Errorf("got %v", err)
			}
		})
		t.Run("remote", func(t *testing.T) {
			remote, err := client.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			echo(t, remote)
			var conns sync.WaitGroup
			for range 4 {
				conns.Go(func() {
					c, err := net.Dial("tcp", remote.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					p := pattern(1 << 18)
					go func() {
						c.Write(p)
						c.(*net.TCPConn).CloseWrite()
					}()
					if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, p) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
				})
			}
			conns.Wait()
		})
	})
}
