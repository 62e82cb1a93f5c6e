"""The vendor's samples of the guide (version 1.x, "Image Super Resolution", "API test").

As they stand there, but for line breaks of the page; ``[API_ID]``, ``[AWS_REGION]``, ``[STAGE]``
and the picture are for the customer to fill in.
"""

from __future__ import annotations

HOST = "[API_ID].execute-api.[AWS_REGION].amazonaws.com"

PYTHON_AWS_IAM = """
import requests
import json
from aws_requests_auth.boto_utils import BotoAWSRequestsAuth

auth = BotoAWSRequestsAuth(aws_host='[API_ID].execute-api.[AWS_REGION].amazonaws.com',
                           aws_region='[AWS_REGION]',
                           aws_service='execute-api')

url = 'https://[API_ID].execute-api.[AWS_REGION].amazonaws.com/[STAGE]/image_super_resolution'
payload = {
    'url': 'Image URL address'
}
response = requests.request("POST", url, data=json.dumps(payload), auth=auth)
print(json.loads(response.text))
"""

PYTHON_NONE = """
import requests
import json

url = "https://[API_ID].execute-api.[AWS_REGION].amazonaws.com/[STAGE]/image_super_resolution"

payload = json.dumps({
  "url": "Image URL address"
})
headers = {
  'Content-Type': 'application/json'
}

response = requests.request("POST", url, headers=headers, data=payload)

print(response.text)
"""

CURL = """curl --location --request POST \
'https://[API_ID].execute-api.[AWS_REGION].amazonaws.com/[STAGE]/image_super_resolution' \
--header 'Content-Type: application/json' \
--data-raw '{
  "url":"Image URL address"
}'
"""

JAVA = r"""
import okhttp3.*;

public class Sample {
    public static void main(String[] arguments) throws Exception {
OkHttpClient client = new OkHttpClient().newBuilder()
.build();

MediaType mediaType = MediaType.parse("application/json");
RequestBody body = RequestBody.create(mediaType, "{\n  \"url\":\"Image URL address\"\n}");
Request request = new Request.Builder()

.url("https://[API_ID].execute-api.[AWS_REGION].amazonaws.com/[STAGE]/image_super_resolution")

.method("POST", body)

.addHeader("Content-Type", "application/json")

.build();
Response response = client.newCall(request).execute();

System.out.println(response.body().string());
System.exit(0);
    }
}
"""


def filled(sample: str, url: str, stage: str, picture: str, region: str = "us-east-1") -> str:
    """``sample`` with what a customer changes: the host (and http), the stage, the picture."""
    host = url.removeprefix("http://")
    return (
        sample.replace("https://", "http://")
        .replace(HOST, host)
        .replace("[AWS_REGION]", region)
        .replace("[STAGE]", stage)
        .replace("Image URL address", picture)
    )
