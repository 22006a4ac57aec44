// Command image packs the suite into a container image without a container engine: an OCI layout with one image for each
// platform and its bill of materials, and an archive for each that "docker load" and "podman load" take.
//
// The same commit and Go release give the same digests, wherever they are built.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	o := options{}
	var platforms string
	flag.StringVar(&o.root, "root", "../..", "root of the repository")
	flag.StringVar(&o.out, "out", "", "folder to write to; what an earlier run left there is replaced")
	flag.StringVar(&o.version, "version", "development", "version of the suite")
	flag.StringVar(&o.revision, "revision", "", "commit that is built")
	flag.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "what to build for")
	flag.StringVar(&o.push, "push", "", "reference to push to as well, such as registry.example/pcnfunding:1.2.3")
	flag.Parse()
	o.platforms = strings.Split(platforms, ",")
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	root, out, version, revision, push string
	platforms                          []string
}

// run builds the images, writes them, and pushes them where that is asked for.
func run(ctx context.Context, o options) error {
	if o.out == "" {
		return errors.New("-out is needed")
	}
	created, err := createdAt(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	var built []variant
	for _, text := range o.platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("read the platform %s: %w", text, err)
		}
		one, err := build(ctx, o, *platform, created)
		if err != nil {
			return fmt.Errorf("build for %s: %w", text, err)
		}
		built = append(built, one)
	}
	index := indexOf(built)
	if err := write(o.out, o.version, index, built); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("compute the digest: %w", err)
	}
	for _, one := range built {
		fmt.Printf("%s: binary %d MB, image %d MB compressed, %d modules\n",
			one.platform.String(), one.binaryBytes/1e6, one.imageBytes/1e6, len(*one.bom.Components))
	}
	fmt.Println(digest)
	if o.push == "" {
		return nil
	}
	return push(ctx, o.push, index, built)
}

// createdAt reads the time that the image and its bill of materials carry, in seconds since 1970; empty is 1970 itself.
func createdAt(epoch string) (time.Time, error) {
	seconds, err := strconv.ParseInt(cmp.Or(epoch, "0"), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// variant is the image of one platform.
type variant struct {
	platform                v1.Platform
	image                   v1.Image
	bom                     *bom
	attached                artifact
	binaryBytes, imageBytes int64
}

func build(ctx context.Context, o options, platform v1.Platform, created time.Time) (variant, error) {
	dir, err := os.MkdirTemp("", "pcnfunding-image-")
	if err != nil {
		return variant{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "pcnfunding")
	if err := compile(ctx, o, platform, binary); err != nil {
		return variant{}, err
	}
	content, err := os.ReadFile(binary) //nolint:gosec // we have just written it
	if err != nil {
		return variant{}, err
	}
	image, err := pack(content, platform, labels(o), created)
	if err != nil {
		return variant{}, err
	}
	materials, err := materialsOf(binary, o.version, created)
	if err != nil {
		return variant{}, err
	}
	attached, err := attach(image, materials, created)
	if err != nil {
		return variant{}, err
	}
	size, err := compressedSize(image)
	return variant{platform, image, materials, attached, int64(len(content)), size}, err
}

// labels describe the image to whoever inspects it.
func labels(o options) map[string]string {
	out := map[string]string{
		"org.opencontainers.image.title":    "pcnfunding",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  o.version,
	}
	if o.revision != "" {
		out["org.opencontainers.image.revision"] = o.revision
	}
	return out
}

// push writes the index and the bills of materials to a registry, with the credentials of the local Docker configuration.
func push(ctx context.Context, reference string, index v1.ImageIndex, built []variant) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return fmt.Errorf("read the reference %s: %w", reference, err)
	}
	how := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithJobs(runtime.NumCPU())}
	if err := remote.WriteIndex(ref, index, how...); err != nil {
		return fmt.Errorf("push %s: %w", reference, err)
	}
	for _, one := range built {
		if err := one.attached.push(ref.Context(), how...); err != nil {
			return fmt.Errorf("push the bill of materials for %s: %w", one.platform.String(), err)
		}
	}
	return nil
}
