// The ssh example is an SSH server behind a WebSocket, a client, and the
// ProxyCommand with which OpenSSH's own client gets there. Server and client in
// one program:
//
//	go run ./examples/ssh
//
// As two processes, the server until it is interrupted. It writes its host key
// to the file of -known-hosts; the client trusts that one and no other:
//
//	go run ./examples/ssh -listen 127.0.0.1:8080 -known-hosts hosts
//	go run ./examples/ssh -dial ws://127.0.0.1:8080/ -known-hosts hosts
//
// With OpenSSH's client (build the example first: ssh runs it anew each time):
//
//	go build -o walve-ssh ./examples/ssh
//	ssh -o ProxyCommand='./walve-ssh -proxy ws://127.0.0.1:8080/' -o UserKnownHostsFile=hosts gopher@walve whoami
//
// Anyone may log in, unless -authorized-keys names a file of keys. There is no
// shell: the commands are whoami, cat and exit.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/url"
	"os"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/program"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func main() { program.Main("ssh", run) }

// host is the name of the server in known_hosts. It need not be that of the URL.
const host = "walve"

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ssh", flag.ContinueOnError)
	roles := program.RoleFlags(flags)
	known := flags.String("known-hosts", "", "`file` that -listen writes its host key to, and of which -dial trusts the keys")
	authorized := flags.String("authorized-keys", "", "-listen lets in only who has a key of this `file`")
	proxy := flags.String("proxy", "", "connect standard input and output to this `URL`, as a ProxyCommand")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	if *proxy != "" {
		return proxyCommand(ctx, *proxy, os.Stdin, out)
	}
	if !roles.Both() && *known == "" {
		return errors.New("-listen and -dial need -known-hosts")
	}
	var config *ssh.ServerConfig
	var check ssh.HostKeyCallback
	var err error
	if roles.Client() {
		check, err = knownhosts.New(*known)
	} else {
		var key ssh.PublicKey
		config, key, err = serverConfig(*authorized)
		check = ssh.FixedHostKey(key)
		if err == nil && *known != "" {
			err = os.WriteFile(*known, []byte(knownhosts.Line([]string{host}, key)+"\n"), 0o644)
		}
	}
	if err != nil {
		return err
	}
	return roles.Run(ctx, out,
		func(ctx context.Context, socket net.Listener) error {
			ln := walve.NewListener(socket)
			return program.ServeConns(ctx, ln, ln, func(c net.Conn) { serve(c, config) })
		},
		func(ctx context.Context, u *url.URL) error { return login(ctx, u, check, out) })
}

// proxyCommand is all that a ProxyCommand has to do.
func proxyCommand(ctx context.Context, rawURL string, in io.Reader, out io.Writer) error {
	c, err := walve.Dial(ctx, rawURL)
	if err != nil {
		return err
	}
	defer c.Close()
	go func() {
		io.Copy(c, in)
		c.CloseWrite() // half-close: the server may still have something to say
	}()
	_, err = io.Copy(out, c)
	return err
}
