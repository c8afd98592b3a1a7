package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/grpc/demopb"
	"github.com/bodokaiser/walve/examples/internal/cert"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

// stopTimeout is how long the calls in progress have when the server stops.
const stopTimeout = 5 * time.Second

// A server is a gRPC server behind one path of an HTTP server.
type server struct {
	url     *url.URL   // with the port that was bound
	certPEM []byte     // nil with ws
	failed  chan error // why it stopped serving, if not because of stop

	grpc *grpc.Server
	http *http.Server
}

// startServer binds the host and port of u and serves gRPC at its path.
func startServer(u *url.URL) (*server, error) {
	s := &server{url: new(*u), failed: make(chan error, 2)}

	s.grpc = grpc.NewServer()
	demopb.RegisterDemoServer(s.grpc, demo{})
	healthpb.RegisterHealthServer(s.grpc, health.NewServer())

	// Everything about WebSocket on this side: the Listener is a handler for
	// net/http and a net.Listener for gRPC.
	ln := new(walve.Listener)
	mux := http.NewServeMux()
	mux.Handle(u.Path, ln)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	if u.Scheme == "wss" {
		c, certPEM, err := cert.SelfSigned(u.Hostname())
		if err != nil {
			return nil, err
		}
		s.certPEM = certPEM
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c}}
	}
	socket, err := net.Listen("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(socket.Addr().String())
	if err != nil {
		socket.Close()
		return nil, err
	}
	s.url.Host = net.JoinHostPort(u.Hostname(), port)

	go s.run("gRPC", func() error { return s.grpc.Serve(ln) })
	go s.run("HTTP", func() error {
		if s.http.TLSConfig != nil {
			return s.http.ServeTLS(socket, "", "")
		}
		return s.http.Serve(socket)
	})
	return s, nil
}

func (s *server) run(name string, serve func() error) {
	err := serve()
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		s.failed <- fmt.Errorf("%s server: %w", name, err)
	}
}

// stop waits for the calls in progress, at most stopTimeout, and then for
// nothing.
func (s *server) stop() error {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopTimeout):
		s.grpc.Stop()
		<-done
	}
	return s.http.Close()
}

// demo implements the service of demopb/demo.proto.
type demo struct{ demopb.UnimplementedDemoServer }

func (demo) Greet(ctx context.Context, req *demopb.GreetRequest) (*demopb.GreetReply, error) {
	reply := &demopb.GreetReply{Text: "hello, " + req.GetName()}
	if p, ok := peer.FromContext(ctx); ok {
		reply.Peer = p.Addr.String()
	}
	return reply, nil
}

func (demo) Count(req *demopb.CountRequest, stream grpc.ServerStreamingServer[demopb.CountReply]) error {
	for n := range req.GetTo() {
		if err := stream.Send(&demopb.CountReply{N: n + 1}); err != nil {
			return err
		}
	}
	return nil
}

func (demo) Digest(stream grpc.ClientStreamingServer[demopb.Chunk, demopb.DigestReply]) error {
	hash, size := sha256.New(), int64(0)
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&demopb.DigestReply{Size: size, Sha256: hash.Sum(nil)})
		}
		if err != nil {
			return err
		}
		hash.Write(chunk.GetData())
		size += int64(len(chunk.GetData()))
	}
}

func (demo) Upper(stream grpc.BidiStreamingServer[demopb.Line, demopb.Line]) error {
	for {
		line, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&demopb.Line{Text: strings.ToUpper(line.GetText())}); err != nil {
			return err
		}
	}
}
