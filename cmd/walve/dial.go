package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/bodokaiser/walve"
)

const dialUsage = `
walve dial connects to a WebSocket and carries bytes through it.

Usage:

    walve dial [flags] URL
    walve dial [flags] -listen ADDRESS URL

A URL is ws://HOST[:PORT]/PATH, wss:// for TLS, or ws+unix:///SOCKET:/PATH.

The first form connects standard input and output to it, as netcat does. The end
of standard input is passed on, and what the server still sends is waited for;
the other way round too if the server is walve. A transfer from or to a file
shows its progress on a terminal, see -progress.

The second form listens on ADDRESS, HOST:PORT or unix:/SOCKET, and opens a
WebSocket for each connection that comes in there. SIGTERM and SIGINT stop
gracefully: no new connections, time (-drain) for those that are there to end,
then 1001 for the rest. A second signal ends at once.

Examples:

    ssh -o ProxyCommand='walve dial wss://%h/ssh' host
    walve dial -listen 127.0.0.1:5432 wss://host/db   # and: psql -h 127.0.0.1
    walve dial -auth-file token -proxy http://proxy:3128 wss://host/backup < disk.img
    walve dial -ca ca.pem -cert me.pem wss://host/ssh
`

func runDial(e *env, args []string) error {
	var (
		cf       clientFlags
		lf       logFlags
		df       debugFlags
		listen   string
		drain    time.Duration
		progress bool
	)
	fs := flag.NewFlagSet("dial", flag.ContinueOnError)
	cf.register(fs)
	lf.register(fs)
	df.register(fs)
	fs.StringVar(&listen, "listen", "", "forward connections that come in at this `address`")
	fs.DurationVar(&drain, "drain", 10*time.Second, "with -listen: the `time` that connections have to end after SIGTERM")
	fs.BoolVar(&progress, "progress", false, "show progress on a terminal also if neither standard input nor output is a file")
	if err := e.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usagef("dial takes one URL, behind the flags, for example: walve dial wss://host/path")
	}
	c, err := cf.client(fs.Arg(0))
	if err != nil {
		return err
	}
	if listen != "" {
		log, err := lf.logger(e.stderr)
		if err != nil {
			return err
		}
		m := newMetrics()
		f := &forwarder{client: c, log: log, metrics: m, tunnels: newTunnels(m, 0)}
		if err := df.start(log, m, f.tunnels); err != nil {
			return err
		}
		return f.serve(e.stop, listen, drain)
	}
	if df.address != "" {
		return usagef("-debug is for dial -listen")
	}
	ws, err := c.dial(e.stop)
	if err != nil {
		return err
	}
	p := newProgress(e, progress)
	defer p.stop()
	s := &session{
		ws:      ws,
		send:    func() error { _, err := ws.ReadFrom(io.TeeReader(e.stdin, &p.sent)); return err },
		receive: func() error { _, err := ws.WriteTo(io.MultiWriter(e.stdout, &p.received)); return err },
	}
	return s.run(e)
}

// A forwarder opens a WebSocket for each connection to a local socket.
type forwarder struct {
	client  *client
	log     *slog.Logger
	metrics *metrics
	tunnels *tunnels
}

// serve listens on address until stop ends, and then for as long as draining
// takes.
func (f *forwarder) serve(stop context.Context, address string, drain time.Duration) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", strings.TrimPrefix(path, "//")
	}
	address = strings.TrimPrefix(address, "tcp://")
	ln, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	defer ln.Close()
	f.log.Info("listening", "address", ln.Addr().String(), "network", network)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				if isTemporary(err) {
					f.log.Warn("cannot accept", "error", err.Error())
					time.Sleep(50 * time.Millisecond) // for descriptors to become free
					continue
				}
				failed <- err
				return
			}
			go f.forward(stop, c.(closeWriter)) // tcp and unix are
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	ln.Close()
	(&server{log: f.log, tunnels: f.tunnels}).drain(stop, drain)
	return nil
}

// isTemporary is about Accept: out of descriptors, or a client that has gone.
func isTemporary(err error) bool {
	ne, ok := err.(interface{ Temporary() bool })
	return ok && ne.Temporary()
}

func (f *forwarder) forward(stop context.Context, local closeWriter) {
	log := f.log.With("client", local.RemoteAddr().String())
	if !f.tunnels.admit() {
		abort(local)
		return
	}
	// Not until stop: it was there before, and has the time of -drain.
	ws, err := f.client.dial(context.WithoutCancel(stop))
	if err != nil {
		f.tunnels.giveUp()
		f.metrics.countHandshakeFailure(err)
		logError(log, slog.LevelWarn, "no connection", err)
		abort(local)
		return
	}
	f.tunnels.runLogged(&tunnel{ws: ws, local: local, halfClose: canHalfClose(ws), failCode: walve.StatusInternalError}, log)
}
